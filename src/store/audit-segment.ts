// Sealed rows of the audit record: how a segment is packed, and how its rows are found in it.
//
// A packed segment is zstd (RFC 8878) over the number of its rows (4 bytes, little-endian), their hashes, 32 bytes each,
// and then a line of JSON for each row: [at, agent, [patients], body]. Chain and number of a row follow from where the
// segment stands, so that rows of another place do not fit their hashes.
import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { slices } from '../base/slices.ts';
import { type AuditPlace, finish, follow, linkAt } from './audit-chain.ts';
import { auditAfter, isAsked } from './audit-page.ts';
import type { AuditRow, AuditSearch, AuditSegment } from './store.ts';
import { StoreError } from './store.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Rows of a segment: to open one takes some 10 ms, and ten times as many would be a twentieth smaller. */
export const SEGMENT_ROWS_MAX = 4_000;
/** Characters of its rows; a row that has more is a segment of its own. */
export const SEGMENT_CHARS_MAX = 4 * 1024 * 1024;
/** What is longer unpacked was not packed here: a row has a few MB at most. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;
const COUNT_BYTES = 4;
const HASH_BYTES = 32;
/** With a checksum, so that damage is not taken for text. Half the time of 12 for a fiftieth more bytes. */
const PARAMETERS = { [constants.ZSTD_c_compressionLevel]: 9, [constants.ZSTD_c_checksumFlag]: 1 };
/** 48 bits: no two names of a segment meet, and a number holds them. */
const NAME_HEX = 12;

export interface PackedSegment {
  segment: AuditSegment;
  packed: Uint8Array;
  names: readonly number[];
}

/** The instant at which the calendar month of `at` begins, UTC. */
export function monthOf(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
}

/** What finds the segments in which a patient or an agent is. */
export function nameOf(kind: 'patient' | 'agent', id: string): number {
  return Number.parseInt(hash('sha256', `${kind} ${id.toWellFormed()}`, 'hex').slice(0, NAME_HEX), 16);
}

/** In order, each once. */
export function namesOf(rows: readonly AuditRow[]): number[] {
  const patients = new Set(rows.flatMap((row) => row.patients));
  const agents = new Set(rows.map(({ agent }) => agent));
  const names = [...patients].map((id) => nameOf('patient', id));
  for (const id of agents) names.push(nameOf('agent', id));
  return [...new Set(names)].sort((a, b) => a - b);
}

/** How many of these rows, which follow one another in a chain, are the next segment. */
export function stretchOf(rows: readonly AuditRow[], before: number, rowsMax: number): number {
  // One that the clock redated into the future is as old as what comes after it.
  const old = rows.slice(0, rows.findLastIndex(({ at }) => at < before) + 1).slice(0, rowsMax);
  const [first] = old;
  if (first === undefined) return 0;
  const month = monthOf(first.at);
  let chars = 0;
  const end = old.findIndex(({ at, agent, patients, body }, place) => {
    chars += charsOf({ agent, body, patients });
    return place > 0 && (monthOf(at) !== month || chars > SEGMENT_CHARS_MAX);
  });
  return end < 0 ? old.length : end;
}

export function charsOf({ agent, body, patients }: Pick<AuditRow, 'agent' | 'body' | 'patients'>): number {
  return agent.length + body.length + patients.reduce((sum, patient) => sum + patient.length, 0);
}

/**
 * The rows after `start`, packed; what was packed has been unpacked again and its chain checked. Throws
 * StoreError('damaged') where the rows are not those that were written there.
 */
export async function packSegment(start: AuditPlace, rows: readonly AuditRow[]): Promise<PackedSegment> {
  const last = rows.at(-1);
  if (last === undefined) throw new Error('a segment has rows');
  const packed = await compress(plain(rows), { params: PARAMETERS });
  const instants = rows.map(({ at }) => at);
  const segment: AuditSegment = {
    chain: start.chain,
    from: start.seq + 1,
    to: start.seq + rows.length,
    before: start.hash,
    hash: last.hash,
    at: last.at,
    earliest: Math.min(...instants),
    latest: Math.max(...instants),
    bytes: packed.length,
  };
  await requireSound(start, rows, await unpackSegment(segment, packed));
  return { segment, packed, names: namesOf(rows) };
}

function plain(rows: readonly AuditRow[]): Buffer {
  const count = Buffer.alloc(COUNT_BYTES);
  count.writeUInt32LE(rows.length);
  const hashes = Buffer.from(rows.map((row) => row.hash).join(''), 'hex');
  const lines = rows.map(({ at, agent, patients, body }) => JSON.stringify([at, agent, patients, body]));
  return Buffer.concat([count, hashes, Buffer.from(lines.join('\n'))]);
}

async function requireSound(
  start: AuditPlace,
  rows: readonly AuditRow[],
  unpacked: readonly AuditRow[],
): Promise<void> {
  const link = linkAt(start);
  const pause = slices();
  for (const [place, row] of rows.entries()) {
    const [problem] = [...(follow(link, unpacked[place] ?? row) ?? []), ...finish(link)];
    const isSame = unpacked[place]?.hash === row.hash && row.seq === link.seq;
    if (problem !== undefined || !isSame) {
      const message = problem?.message ?? `audit chain ${row.chain}: row ${row.seq} is not what was packed`;
      throw new StoreError('damaged', `${message}; rows from ${start.seq + 1} on are not sealed`);
    }
    await pause();
  }
}

/**
 * Rows of a segment: all of them, or those that a search asks for, not yet in its order. Throws StoreError('damaged')
 * for what cannot be unpacked.
 */
export async function unpackSegment(
  segment: AuditSegment,
  packed: Uint8Array,
  search?: AuditSearch,
): Promise<AuditRow[]> {
  try {
    const bytes = await decompress(packed, { maxOutputLength: UNPACKED_BYTES_MAX });
    const textAt = COUNT_BYTES + bytes.readUInt32LE() * HASH_BYTES;
    const lines = bytes.toString('utf8', textAt).split('\n');
    if (textAt !== COUNT_BYTES + lines.length * HASH_BYTES) throw new Error('not as many hashes as lines');
    const hashOf = (place: number): string => {
      const from = COUNT_BYTES + place * HASH_BYTES;
      return bytes.toString('hex', from, from + HASH_BYTES);
    };
    return rowsOf(segment, { lines, hashOf }, search);
  } catch (cause) {
    throw new StoreError('damaged', `${segmentName(segment)} cannot be unpacked`, { cause });
  }
}

/** "audit chain c: sealed rows 1 to 9", which problems begin with. */
export const segmentName = ({ chain, from, to }: AuditSegment): string =>
  `audit chain ${chain}: sealed rows ${from} to ${to}`;

function rowsOf(
  { chain, from }: AuditSegment,
  { lines, hashOf }: { lines: readonly string[]; hashOf: (place: number) => string },
  search: AuditSearch | undefined,
): AuditRow[] {
  const after = search === undefined ? undefined : auditAfter(search);
  const mayFit = search === undefined ? () => true : linesFor(search);
  const rows: AuditRow[] = [];
  for (const [place, line] of lines.entries()) {
    const seq = from + place;
    if (!mayFit(line, seq)) continue;
    const row = { chain, seq, ...partsOf(line), hash: hashOf(place) };
    if (search === undefined || isAsked(row, search, after)) rows.push(row);
    // By place nothing that follows comes before.
    if (search?.chain !== undefined && !search.descending && rows.length > search.limit) break;
  }
  return rows;
}

function partsOf(line: string): Pick<AuditRow, 'at' | 'agent' | 'patients' | 'body'> {
  const [at, agent, patients, body]: unknown[] = JSON.parse(line);
  const isRow = Number.isSafeInteger(at) && typeof agent === 'string' && typeof body === 'string';
  if (!isRow || !Array.isArray(patients) || !patients.every((id) => typeof id === 'string')) throw new Error('no row');
  return { at: Number(at), agent, patients, body };
}

/** Whether a row may be asked for, by its line; what is not need not be parsed. */
function linesFor({ patient, agent, afterSeq = 0, from, to }: AuditSearch): (line: string, seq: number) => boolean {
  const names = [patient, agent]
    .filter((name) => name !== undefined)
    .map((name) => JSON.stringify(name.toWellFormed()));
  return (line, seq) => {
    if (seq <= afterSeq) return false;
    const at = Number(line.slice(1, line.indexOf(',')));
    return at >= (from ?? at) && at < (to ?? at + 1) && names.every((name) => line.includes(name));
  };
}
