// A command line whose outputs are kept, on a store of its own.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Overrides } from '../../src/app.ts';
import type { Io } from '../../src/cli/command.ts';
import { runCli } from '../../src/cli/run.ts';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface Bench {
  /** A folder that is gone after the test. */
  folder: string;
  /** Writes a file there and hands back its path. */
  file(name: string, content: string | Uint8Array): string;
  run(...argv: string[]): Promise<Ran>;
  runWith(options: { overrides?: Overrides; io?: Partial<Io> }, ...argv: string[]): Promise<Ran>;
}

export function bench(t: { teardown(work: () => void): void }): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const runWith: Bench['runWith'] = async ({ overrides = {}, io = {} }, ...argv) => {
    const ran: Ran = { code: -1, out: '', err: '' };
    ran.code = await runCli(
      argv,
      {
        out: { write: (text) => (ran.out += typeof text === 'string' ? text : Buffer.from(text).toString()) },
        err: { write: (text) => (ran.err += text) },
        isTerminal: false,
        signal: new AbortController().signal,
        environment: { CARELOOM_DATA: folder, CARELOOM_LOG_LEVEL: 'silent', CARELOOM_AUTH: 'off' },
        ...io,
      },
      overrides,
    );
    return ran;
  };
  return {
    folder,
    file(name, content) {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    },
    run: (...argv) => runWith({}, ...argv),
    runWith,
  };
}
