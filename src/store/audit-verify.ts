// Verification of the sealed rows of a chain: are they those that were packed, is the segment what it says of itself, and
// does one segment follow on the other?
import { slices } from '../base/slices.ts';
import { finish, firstLink, follow, type Link, linkAt, missingRows } from './audit-chain.ts';
import { namesOf, segmentName } from './audit-segment.ts';
import type { AuditRecord, AuditRow, AuditSegment, OpenedSegment } from './store.ts';
import { StoreError } from './store.ts';

/** Who looks on. */
export interface AuditWatch {
  row?(row: AuditRow): void;
  purged?(segment: AuditSegment): void;
}

/** One sentence per problem. Returns where the rows that are not sealed go on. */
export async function* sealedProblems(
  audit: Pick<AuditRecord, 'segments' | 'opened'>,
  chain: string,
  watch: AuditWatch = {},
): AsyncGenerator<string, Link> {
  let link = firstLink(chain);
  for await (const segment of audit.segments(chain)) {
    const before = yield* gapBefore(link, segment);
    const opened = segment.purged === undefined ? await openedOf(audit, segment) : undefined;
    const purged = opened === undefined ? await purgedOf(audit, segment) : undefined;
    if (purged !== undefined) watch.purged?.(purged);
    if (typeof opened === 'object') link = yield* openedProblems(segment, opened, before, watch);
    else {
      if (purged === undefined) yield opened ?? missingRows(segment);
      link = endOf(segment);
    }
  }
  return link;
}

/** The segment as one that was purged, perhaps since it was listed. */
async function purgedOf(
  audit: Pick<AuditRecord, 'segments'>,
  segment: AuditSegment,
): Promise<AuditSegment | undefined> {
  if (segment.purged !== undefined) return segment;
  for await (const one of audit.segments(segment.chain))
    if (one.from === segment.from && one.purged !== undefined) return one;
  return undefined;
}

/** The rows of a chain after one, by place; those that are sealed meanwhile as well. */
export async function* rowsAfter(
  audit: Pick<AuditRecord, 'rows'>,
  chain: string,
  afterSeq: number,
): AsyncGenerator<AuditRow> {
  let after: string | undefined;
  do {
    const cursor = after === undefined ? {} : { after };
    const page = await audit.rows({ chain, afterSeq, descending: false, limit: PAGE, ...cursor });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

const PAGE = 1_000;

const endOf = ({ chain, to, hash }: AuditSegment): Link => linkAt({ chain, seq: to, hash });

/** Returns where the segment's rows go on from: across a gap it is believed what it says. */
function* gapBefore(link: Link, segment: AuditSegment): Generator<string, Link> {
  const { chain, from, before } = segment;
  const name = segmentName(segment);
  if (from === link.seq + 1) {
    if (before !== link.hash) yield `${name} do not follow from the row before`;
    return link;
  }
  if (from > link.seq) yield missingRows({ chain, from: link.seq + 1, to: from - 1 });
  else yield `${name} do not follow row ${link.seq}`;
  return linkAt({ chain, seq: from - 1, hash: before });
}

async function* openedProblems(
  segment: AuditSegment,
  opened: OpenedSegment,
  before: Link,
  watch: AuditWatch,
): AsyncGenerator<string, Link> {
  const link = { ...before };
  const pause = slices();
  for (const row of opened.rows) {
    for (const { message } of follow(link, row) ?? []) yield message;
    watch.row?.(row);
    await pause();
  }
  for (const { message } of finish(link)) yield message;
  const wrong = wrongMembers(segment, opened);
  if (wrong.length > 0) yield `${segmentName(segment)} are not as the segment says: ${wrong.join(', ')}`;
  return link;
}

/** A sentence where the rows cannot be read. */
async function openedOf(
  audit: Pick<AuditRecord, 'opened'>,
  segment: AuditSegment,
): Promise<OpenedSegment | string | undefined> {
  try {
    return await audit.opened(segment);
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'damaged') return error.message;
    throw error;
  }
}

function wrongMembers(segment: AuditSegment, { rows, names, bytes }: OpenedSegment): string[] {
  const last = rows.at(-1);
  const instants = rows.map(({ at }) => at);
  const said = {
    to: [segment.to, last?.seq],
    hash: [segment.hash, last?.hash],
    at: [segment.at, last?.at],
    earliest: [segment.earliest, Math.min(...instants)],
    latest: [segment.latest, Math.max(...instants)],
    bytes: [segment.bytes, bytes],
    'patients and agents': [names.join(), namesOf(rows).join()],
  };
  return Object.entries(said).flatMap(([member, [one, other]]) => (one === other ? [] : [member]));
}
