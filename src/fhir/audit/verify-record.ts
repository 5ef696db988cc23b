// Verification of the audit record: that no chain is broken, that what the checkpoints saw is still there, and that what
// was purged was purged on purpose.
import type { KeyObject } from 'node:crypto';
import { verifyChain } from '../../store/audit-chain.ts';
import { segmentName } from '../../store/audit-segment.ts';
import { rowsAfter, sealedProblems } from '../../store/audit-verify.ts';
import type { AuditHead, AuditRow, AuditSegment, Store } from '../../store/store.ts';
import { type Checkpoint, checkpointIn, type PurgedRows } from './checkpoint.ts';
import { LATEST } from './checkpoints.ts';

export interface VerifyOptions {
  store: Pick<Store, 'audit' | 'records'>;
  /** What signed the checkpoints; without it they are not looked at. */
  key?: KeyObject;
  /** Lines of the file of checkpoints. */
  checkpoints?: AsyncIterable<string>;
  onProgress?: (lines: number) => void;
}

/** What the checkpoints say of a chain: what stands at a place, and which rows were purged. */
interface Said {
  places: Map<number, { hash: string; at: number }>;
  purged: PurgedRows[];
}

interface Signed {
  key: KeyObject | undefined;
  chains: Map<string, Said>;
  /** The first checkpoint of the file; undefined without one. */
  since: number | undefined;
}

/** One sentence for each problem, without patient data; none when the record is as it was written. */
export async function* verifyRecord({ store, key, checkpoints, onProgress }: VerifyOptions): AsyncGenerator<string> {
  const signed: Signed = { key, chains: new Map(), since: undefined };
  if (key !== undefined) yield* gather(signed, { store, key, checkpoints });
  let lines = 0;
  const counted = (): void => {
    lines += 1;
    onProgress?.(lines);
  };
  const heads = await store.audit.heads();
  for (const head of heads) yield* chainProblems(store, head, signed, counted);
  for (const [chain, { places }] of signed.chains) {
    if (places.size > 0 && !heads.some((head) => head.chain === chain)) yield cutOff(chain, 0, places);
  }
}

async function* chainProblems(
  { audit }: Pick<Store, 'audit'>,
  { chain, seq: end }: AuditHead,
  signed: Signed,
  counted: () => void,
): AsyncGenerator<string> {
  const places = signed.chains.get(chain)?.places ?? new Map<number, { hash: string; at: number }>();
  const found: string[] = [];
  let last = 0;
  const compare = (seq: number, hash: string): void => {
    const place = places.get(seq);
    if (place !== undefined && place.hash !== hash)
      found.push(`audit chain ${chain}: row ${seq} is not the one that was signed in a checkpoint`);
    last = seq;
  };
  const row = ({ seq, hash }: AuditRow): void => {
    compare(seq, hash);
    counted();
  };
  const purged = (segment: AuditSegment): void => {
    found.push(...purgeProblems(segment, signed));
    compare(segment.to, segment.hash);
  };
  const sealed = yield* sealedProblems(audit, chain, { row, purged });
  const noting = async function* (): AsyncGenerator<AuditRow> {
    for await (const one of rowsAfter(audit, chain, sealed.seq)) {
      row(one);
      yield one;
    }
  };
  for await (const { message } of verifyChain(noting(), sealed)) yield message;
  yield* found;
  last = Math.max(last, sealed.seq);
  if (last < end) yield `audit chain ${chain}: ends at row ${last}, and not at ${end}`;
  const beyond = new Map([...places].filter(([seq]) => seq > last));
  if (beyond.size > 0) yield cutOff(chain, last, beyond);
}

/** Rows may be gone where the key signed that they were purged, in the file as well if it reaches back so far. */
function purgeProblems(segment: AuditSegment, { key, chains, since }: Signed): string[] {
  if (key === undefined) return [];
  const name = segmentName(segment);
  const statement = checkpointOf(segment.purged ?? '', key);
  if (statement?.purged?.some((rows) => isOf(rows, segment)) !== true)
    return [`${name} were removed, and no signed checkpoint says that they were purged`];
  const isInFile = chains.get(segment.chain)?.purged.some((rows) => isOf(rows, segment));
  if (since === undefined || statement.at < since || isInFile === true) return [];
  return [`${name} were purged, which the file of checkpoints lacks`];
}

const isOf = (rows: PurgedRows, segment: AuditSegment): boolean =>
  (['chain', 'from', 'to', 'before', 'hash'] as const).every((member) => rows[member] === segment[member]);

function cutOff(chain: string, last: number, places: ReadonlyMap<number, { at: number }>): string {
  const [furthest = 0, place] = [...places].reduce((one, other) => (other[0] > one[0] ? other : one));
  const when = new Date(place.at).toISOString();
  return `audit chain ${chain}: ends at row ${last}, but row ${furthest} was signed in a checkpoint at ${when}: its end was cut off`;
}

/** Reads the checkpoints of the file, and the latest one that the store keeps. */
async function* gather(
  signed: Signed,
  {
    store,
    key,
    checkpoints,
  }: { store: Pick<Store, 'records'>; key: KeyObject; checkpoints: VerifyOptions['checkpoints'] },
): AsyncGenerator<string> {
  let latestAt = 0;
  let lineNumber = 0;
  for await (const line of checkpoints ?? []) {
    lineNumber += 1;
    if (line === '') continue;
    const checkpoint = checkpointOf(line, key);
    if (checkpoint === undefined) yield `checkpoint in line ${lineNumber} was not signed by this key, or was changed`;
    else {
      if (checkpoint.heads.length > 0) latestAt = Math.max(latestAt, checkpoint.at);
      signed.since = Math.min(signed.since ?? checkpoint.at, checkpoint.at);
      expect(signed, checkpoint);
    }
  }
  const kept = await store.records.get(LATEST.kind, LATEST.id);
  if (kept === undefined) return;
  const latest = checkpointOf(JSON.parse(kept.value) as string, key);
  if (latest === undefined) yield 'the latest checkpoint in the store was not signed by this key, or was changed';
  else {
    expect(signed, latest);
    if (checkpoints !== undefined && latest.at > latestAt) {
      yield `the file of checkpoints lacks the one of ${new Date(latest.at).toISOString()}, or was cut off`;
    }
  }
}

function checkpointOf(jws: string, key: KeyObject): Checkpoint | undefined {
  try {
    return checkpointIn(jws, key);
  } catch {
    return undefined;
  }
}

function expect({ chains }: Signed, { at, heads, purged = [] }: Checkpoint): void {
  const of = (chain: string): Said => {
    const said = chains.get(chain) ?? { places: new Map(), purged: [] };
    chains.set(chain, said);
    return said;
  };
  for (const { chain, seq, hash } of heads) of(chain).places.set(seq, { hash, at });
  for (const rows of purged) of(rows.chain).purged.push(rows);
}
