// Many spans at once, as a value set of codes without systems makes them: one function of SQL in place of a subquery for
// each. SQLite plans subqueries in time that grows with the square of their number: 2,000 took 0.5 s, this 1 ms.
import { compareKeys, inSpan } from '../match.ts';
import type { Condition, Key } from '../store.ts';
import { StoreError } from '../store.ts';

type Span = Extract<Condition, { kind: 'span' }>;

/** Spans in order, those without a rule for the key itself joined where they meet. */
interface SpanList {
  plain: readonly { from: Key; to: Key }[];
  ruled: readonly Span[];
}

/** Spans that are kept for statements to come: some 200 bytes each. One query has a few lists of them. */
const SPANS_MAX = 200_000;

const lists = new Map<number, SpanList>();
let last = 0;
let kept = 0;

/** A number for the spans, by which `hasKeyIn` knows them for as long as few others come after them. */
export function spanList(spans: readonly Span[]): number {
  const sound = spans.map((span) => ({ ...span, from: span.from.toWellFormed(), to: span.to.toWellFormed() }));
  const list = { plain: merged(sound.filter(isPlain)), ruled: sound.filter((span) => !isPlain(span)) };
  lists.set(++last, list);
  kept += sizeOf(list);
  for (const [id, old] of lists) {
    if (kept <= SPANS_MAX) break;
    lists.delete(id);
    kept -= sizeOf(old);
  }
  return last;
}

/** Whether one of a row's keys, as its column has them, is in one of the spans. */
export function hasKeyIn(keys: string, id: number): boolean {
  const list = lists.get(id);
  if (list === undefined) throw new StoreError('too-costly', 'The search has more conditions than one query takes');
  return (JSON.parse(keys) as Key[]).some(
    (key) => isWithin(key, list.plain) || list.ruled.some((span) => inSpan(key, span)),
  );
}

const isPlain = (span: Span): boolean => span.within === undefined;

const sizeOf = ({ plain, ruled }: SpanList): number => plain.length + ruled.length;

function merged(spans: readonly Span[]): { from: Key; to: Key }[] {
  const found: { from: Key; to: Key }[] = [];
  for (const { from, to } of spans.toSorted((a, b) => compareKeys(a.from, b.from))) {
    const before = found.at(-1);
    if (before === undefined || compareKeys(before.to, from) < 0) found.push({ from, to });
    else if (compareKeys(before.to, to) < 0) before.to = to;
  }
  return found;
}

/** By halves: the last span that begins at or before the key must reach beyond it. */
function isWithin(key: Key, spans: SpanList['plain']): boolean {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(spans[middle]?.from ?? '', key) <= 0) low = middle + 1;
    else high = middle;
  }
  const span = spans[low - 1];
  return span !== undefined && compareKeys(key, span.to) < 0;
}
