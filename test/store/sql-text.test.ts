// threat 26: whatever clients and tokens say is bound to statements and never becomes part of one. In a process of its own,
// every SQL text that any of its threads gives to SQLite is noted.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const support = (name: string): string => fileURLToPath(new URL(`../support/${name}`, import.meta.url));

t.setTimeout(240_000);

t.test('threat 26: no value of a client is part of an SQL text', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sql-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const noted = join(folder, 'texts');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      `--import=${support('sql-spy.ts')}`,
      support('sql-load.ts'),
      join(folder, 'test.db'),
    ],
    { env: { PATH: process.env.PATH ?? '', CARELOOM_TEST_SQL: noted }, timeout: 200_000 },
  );
  t.ok(Number(stdout) > 500, `${stdout} requests were answered with what they asked for`);
  const texts = readFileSync(noted, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as [thread: number, text: string]);
  t.ok(texts.length > 100, `${texts.length} statements`);
  t.ok(new Set(texts.map(([thread]) => thread)).size >= 3, 'of the main thread, the reader and the writer');
  t.same(
    texts.filter(([, text]) => /qzcanary|918273645/i.test(text)),
    [],
  );
});
