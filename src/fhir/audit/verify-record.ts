// Verification of the audit record: that no chain is broken, and that what the checkpoints saw is still there.
import type { KeyObject } from 'node:crypto';
import { verifyChain } from '../../store/audit-chain.ts';
import type { AuditRow, Store } from '../../store/store.ts';
import { type Checkpoint, checkpointIn } from './checkpoint.ts';
import { LATEST } from './checkpoints.ts';

export interface VerifyOptions {
  store: Pick<Store, 'audit' | 'records'>;
  /** What signed the checkpoints; without it they are not looked at. */
  key?: KeyObject;
  /** Lines of the file of checkpoints. */
  checkpoints?: AsyncIterable<string>;
  onProgress?: (lines: number) => void;
}

const PAGE = 1_000;

/** Chain → place → what the checkpoints say stands there. */
type Expected = Map<string, Map<number, { hash: string; at: number }>>;

/** One sentence for each problem, without patient data; none when the record is as it was written. */
export async function* verifyRecord({ store, key, checkpoints, onProgress }: VerifyOptions): AsyncGenerator<string> {
  const expected: Expected = new Map();
  if (key !== undefined) yield* gather(expected, { store, key, checkpoints });
  let lines = 0;
  const counted = (): void => {
    lines += 1;
    onProgress?.(lines);
  };
  const heads = await store.audit.heads();
  for (const { chain, seq } of heads) {
    const places = expected.get(chain);
    expected.delete(chain);
    yield* chainProblems(store, chain, seq, places ?? new Map(), counted);
  }
  for (const [chain, places] of expected) yield cutOff(chain, 0, places);
}

async function* chainProblems(
  store: Pick<Store, 'audit'>,
  chain: string,
  end: number,
  places: Map<number, { hash: string; at: number }>,
  counted: () => void,
): AsyncGenerator<string> {
  const rewritten: number[] = [];
  let last = 0;
  const noting = async function* (): AsyncGenerator<AuditRow> {
    for await (const row of rowsOf(store, chain)) {
      const place = places.get(row.seq);
      if (place !== undefined && place.hash !== row.hash) rewritten.push(row.seq);
      places.delete(row.seq);
      last = row.seq;
      counted();
      yield row;
    }
  };
  for await (const { message } of verifyChain(noting())) yield message;
  for (const seq of rewritten) yield `audit chain ${chain}: row ${seq} is not the one that was signed in a checkpoint`;
  if (last < end) yield `audit chain ${chain}: ends at row ${last}, and not at ${end}`;
  const beyond = new Map([...places].filter(([seq]) => seq > last));
  if (beyond.size > 0) yield cutOff(chain, last, beyond);
}

function cutOff(chain: string, last: number, places: ReadonlyMap<number, { at: number }>): string {
  const [furthest = 0, place] = [...places].reduce((one, other) => (other[0] > one[0] ? other : one));
  const when = new Date(place.at).toISOString();
  return `audit chain ${chain}: ends at row ${last}, but row ${furthest} was signed in a checkpoint at ${when}: its end was cut off`;
}

async function* rowsOf({ audit }: Pick<Store, 'audit'>, chain: string): AsyncGenerator<AuditRow> {
  let after: string | undefined;
  do {
    const page = await audit.rows({ chain, descending: false, limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

/** Reads the checkpoints of the file, and the latest one that the store keeps. */
async function* gather(
  expected: Expected,
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
      latestAt = Math.max(latestAt, checkpoint.at);
      expect(expected, checkpoint);
    }
  }
  const kept = await store.records.get(LATEST.kind, LATEST.id);
  if (kept === undefined) return;
  const latest = checkpointOf(JSON.parse(kept.value) as string, key);
  if (latest === undefined) yield 'the latest checkpoint in the store was not signed by this key, or was changed';
  else {
    expect(expected, latest);
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

function expect(expected: Expected, { at, heads }: Checkpoint): void {
  for (const { chain, seq, hash } of heads) {
    const places = expected.get(chain) ?? new Map<number, { hash: string; at: number }>();
    places.set(seq, { hash, at });
    expected.set(chain, places);
  }
}
