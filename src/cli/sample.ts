// Fills an empty store with the sample practice, so that a newcomer has something to look at.
import type { App } from '../app.ts';
import { systemCaller } from '../fhir/access/callers.ts';
import { samplePractice } from '../practice/sample.ts';
import { bundleOf, bundleRequest, putEntry } from './bundle.ts';
import type { Io } from './command.ts';
import { createProgress } from './progress.ts';

const recordKind = 'sample';
const recordId = 'practice';
const seed = 1;
const entriesAtOnce = 100;

/**
 * Does nothing unless the store is empty or an earlier filling was interrupted: then the same resources, made from the
 * same seed and day, are written again under the same ids.
 */
export async function fillWithSample(app: App, io: Io): Promise<void> {
  const { store, clock } = app;
  const record = await store.records.get(recordKind, recordId);
  const begun = record === undefined ? undefined : begunOn(record.value);
  if (record !== undefined ? begun === undefined : [...(await store.stats()).values()].some((count) => count > 0))
    return;
  const today = begun ?? new Date(clock.now()).toISOString().slice(0, 10);
  const version = await store.records.put(
    { kind: recordKind, id: recordId, value: JSON.stringify({ today, isDone: false }) },
    record?.version ?? 0,
  );
  // Another process was faster, and fills the same store.
  if (version === undefined) return;
  await writeAll(app, io, today);
  if (io.signal.aborted) return;
  await store.records.put({ kind: recordKind, id: recordId, value: JSON.stringify({ today, isDone: true }) }, version);
}

/** The day of a filling that was not completed. */
function begunOn(value: string): string | undefined {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== 'object' || parsed === null || !('today' in parsed) || !('isDone' in parsed)) return undefined;
  return parsed.isDone === true ? undefined : String(parsed.today);
}

async function writeAll({ engine }: App, io: Io, today: string): Promise<void> {
  const progress = createProgress(io, { label: 'sample practice', total: undefined });
  let done = 0;
  let entries: Uint8Array[] = [];
  const flush = async () => {
    if (entries.length === 0 || io.signal.aborted) return;
    await engine.perform(bundleRequest(bundleOf('transaction', entries), io.signal), systemCaller);
    done += entries.length;
    entries = [];
    progress.update(done);
  };
  for (const resource of samplePractice({ seed, today })) {
    const { resourceType: type, id = '' } = resource;
    entries.push(putEntry({ type, id, resource: Buffer.from(JSON.stringify(resource)) }));
    if (entries.length === entriesAtOnce) await flush();
  }
  await flush();
  progress.end();
  io.err.write(`sample practice: ${done} made-up resources\n`);
}
