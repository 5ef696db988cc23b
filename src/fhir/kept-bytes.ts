// Bytes that outlast their request, as private records: in chunks, because a record has its bound, and for a day.
import type { EngineContext } from './context.ts';

/** A document of MongoDB has at most 16 MB; smaller ones hold up nobody else's writes. */
const CHUNK_BYTES = 1_000_000;
export const KEPT_MS = 24 * 60 * 60 * 1000;

type Keeping = Pick<EngineContext, 'store' | 'clock'>;

/** Keeps bytes under a name of one's own; resolves to the number of chunks, which is needed to read them. */
export async function keepBytes(
  kind: string,
  name: string,
  bytes: Uint8Array,
  { store: { records }, clock }: Keeping,
): Promise<number> {
  const expires = clock.now() + KEPT_MS;
  let count = 0;
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES, count++) {
    const value = JSON.stringify(Buffer.from(bytes.subarray(at, at + CHUNK_BYTES)).toString('base64'));
    const id = chunkId(name, count);
    // There already where the work is done a second time.
    const known = await records.get(kind, id);
    await records.put({ kind, id, value, expires }, known?.version ?? 0);
  }
  return count;
}

/** The chunks; undefined when they are not kept any more. */
export async function keptBytes(
  kind: string,
  name: string,
  count: number,
  { store: { records } }: Keeping,
): Promise<Buffer[] | undefined> {
  const chunks: Buffer[] = [];
  for (let at = 0; at < count; at++) {
    const record = await records.get(kind, chunkId(name, at));
    if (record === undefined) return undefined;
    chunks.push(Buffer.from(JSON.parse(record.value) as string, 'base64'));
  }
  return chunks;
}

export async function forgetBytes(
  kind: string,
  name: string,
  count: number,
  { store: { records } }: Keeping,
): Promise<void> {
  for (let at = 0; at < count; at++) await records.remove(kind, chunkId(name, at));
}

const chunkId = (name: string, at: number): string => `${name}/${String(at).padStart(5, '0')}`;
