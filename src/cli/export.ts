// Writes what is live as NDJSON, page by page from the store. https://hl7.org/fhir/R4/nd-json.html
import { EventEmitter, once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { Store } from '../store/store.ts';
import { exitCodes, type Invocation, textsOf, UsageError, withApp } from './command.ts';
import { countTable, createProgress, type Progress } from './progress.ts';

/** Rows held in memory at once. */
const pageRows = 500;

export async function exportResources(invocation: Invocation): Promise<number> {
  const { values, io } = invocation;
  const { out } = values;
  if (typeof out !== 'string' || out === '')
    throw new UsageError('export needs --out DIR, or --out - for standard output');
  const asked = textsOf(values.type);
  const misspelt = asked.find((type) => !/^[A-Z][A-Za-z]+$/.test(type));
  if (misspelt !== undefined) throw new UsageError(`--type ${misspelt} is not the name of a resource type`);
  return withApp(invocation, async ({ store, engine }) => {
    const stored = await store.stats();
    const types = asked.length > 0 ? [...new Set(asked)] : [...stored.keys()].sort();
    await engine.record({ kind: 'export', outcome: 'success', detail: `all of ${types.join(', ')}` });
    const total = types.reduce((sum, type) => sum + (stored.get(type) ?? 0), 0);
    const progress = createProgress(io, { label: 'export', total });
    const counts = new Map<string, number>();
    for (const type of types) {
      const rows = linesOf(store, type, { counts, progress, signal: io.signal });
      if (out === '-') await writeOut(io.out, rows);
      else await writeFile(out, type, rows);
    }
    progress.end();
    if (out !== '-') io.out.write(countTable(counts));
    return exitCodes.ok;
  });
}

interface LineOptions {
  counts: Map<string, number>;
  progress: Progress;
  signal: AbortSignal;
}

async function* linesOf(store: Store, type: string, { counts, progress, signal }: LineOptions): AsyncGenerator<Buffer> {
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    const page = await store.scan({ type, limit: pageRows, ...(after === undefined ? {} : { after }) });
    for (const { body } of page.rows) if (body !== null) yield lineOf(body);
    counts.set(type, (counts.get(type) ?? 0) + page.rows.length);
    progress.update([...counts.values()].reduce((sum, count) => sum + count, 0));
    after = page.next;
  } while (after !== undefined);
}

/** A line feed in JSON can only be white space between tokens: inside a string it is always escaped. */
function lineOf(body: Uint8Array): Buffer {
  const line = Buffer.allocUnsafe(body.length + 1);
  line.set(body, 0);
  for (let at = 0; at < body.length; at++) if (line[at] === 0x0a || line[at] === 0x0d) line[at] = 0x20;
  line[body.length] = 0x0a;
  return line;
}

async function writeOut(out: Invocation['io']['out'], lines: AsyncIterable<Buffer>): Promise<void> {
  for await (const line of lines) {
    if (out.write(line) === false && out instanceof EventEmitter) await once(out, 'drain');
  }
}

/** A file has its name only once it is complete. */
async function writeFile(folder: string, type: string, lines: AsyncIterable<Buffer>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${type}.ndjson`);
  const stream = createWriteStream(`${path}.part`);
  await writeLines(stream, lines);
  await rename(`${path}.part`, path);
}

async function writeLines(stream: WriteStream, lines: AsyncIterable<Buffer>): Promise<void> {
  const written = finished(stream);
  try {
    for await (const line of lines) if (!stream.write(line)) await Promise.race([once(stream, 'drain'), written]);
  } catch (error) {
    stream.destroy();
    await written.catch(() => {});
    throw error;
  }
  stream.end();
  await written;
}
