// Runs the tests: one real mongod for all of them, then tap, then the counts on a line of their own.
//   node scripts/test.ts [files and tap options]
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SHARED_URL, startMongod } from '../test/support/mongod.ts';

/** The server's own flags; the first is not allowed in NODE_OPTIONS, so tap hands both on. */
const FLAGS = ['--enable-experimental-regexp-engine-on-excessive-backtracks', '--disable-warning=ExperimentalWarning'];

/** Lines shown from a failure on: its message, the difference and where it was. */
const FAILURE_LINES_MAX = 40;

const mongod = process.env[SHARED_URL] ? undefined : await startMongod().catch(withoutMongod);
const env = {
  ...process.env,
  ...(mongod === undefined ? {} : { [SHARED_URL]: mongod.url }),
};
const code = await runTap(process.argv.slice(2), env);
await mongod?.stop();
process.exitCode = code;

function withoutMongod(error: unknown): undefined {
  console.error(`no mongod, its tests are skipped by name: ${error instanceof Error ? error.message : error}`);
  return undefined;
}

/** Shows a line for each file and everything about failures; the exit code of tap, or 1 when nothing was counted. */
async function runTap(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  // Of some files alone no more can be asked than that they pass.
  const coverage = args.length > 0 ? ['--disable-coverage'] : [];
  const tap = spawn('tap', ['--reporter=tap', ...FLAGS.map((flag) => `--node-arg=${flag}`), ...coverage, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<number>((resolve) => tap.on('exit', (exit) => resolve(exit ?? 1)));
  let counts: string | undefined;
  let failing = 0;
  for await (const line of createInterface({ input: tap.stdout })) {
    const indent = line.length - line.trimStart().length;
    const told = line.trimStart();
    if (told.startsWith('not ok')) failing = FAILURE_LINES_MAX;
    if (indent === 0 || failing > 0 || told.includes('# SKIP')) console.log(line);
    failing--;
    if (line.startsWith('# { total:')) counts = line;
  }
  const exit = await exited;
  if (counts === undefined) return 1;
  const count = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(counts)?.[1] ?? 0);
  console.log(`${count('pass')} passed, ${count('fail')} failed, ${count('skip') + count('todo')} skipped`);
  return exit;
}
