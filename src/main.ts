// The process: arguments in, exit code out, signals.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Compiled code is kept beside the packages, out of others' reach: starting takes half the time the second time.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/careloom', import.meta.url)));
const { runCli } = await import('./cli/run.ts');

/** A shutdown that takes longer than this has failed; supervisors kill after ten seconds at the earliest. */
const shutdownMs = 10_000;

const stop = new AbortController();

function onSignal(): void {
  // The second time somebody is impatient.
  if (stop.signal.aborted) process.exit(1);
  stop.abort();
  setTimeout(() => process.exit(1), shutdownMs).unref();
}

process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);
// `careloom export --out - | head`: the reader has enough, and that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  isTerminal: process.stderr.isTTY === true,
  signal: stop.signal,
  environment: process.env,
});
// A signal's listener would keep nothing alive, but a shutdown that is through should not wait for stray sockets.
if (stop.signal.aborted) process.exit();
