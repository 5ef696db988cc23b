// Dates at the edges of days, months, years and clock changes: every precision, prefix and zone of a search against dates,
// instants, Periods and Timings, compared with ranges that Temporal computes. https://hl7.org/fhir/R4/search.html#date
import t from 'tap';
import { Temporal } from 'temporal-polyfill';
import type { Clock } from '../../src/base/clock.ts';
import type { TypedValue } from '../../src/model/search-accessors.ts';
import { engineOn, matchIds, type TestEngine } from '../support/engine.ts';
import { dateSpan, type Span, spanFits, spanOf } from '../support/slow-values.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const NOW = Date.UTC(2024, 6, 1);
/** Those of a search, and what _filter has besides. */
const PREFIXES = ['', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap', 'po', 'co'] as const;
const OFFSETS = ['Z', '+14:00', '-12:00'] as const;
/** Requests under way at once. */
const AT_ONCE = 16;
const SEARCHES_MIN = 1500;
const HOUR_MS = 3_600_000;

/** Zones of the server, and local days whose first instant, or whose change of clocks, is an edge. */
const ZONES: Readonly<
  Record<string, { days: readonly string[]; changes: readonly string[]; skipped: readonly string[] }>
> = {
  'Europe/Berlin': {
    days: ['2024-01-01', '2024-02-01', '2024-02-29', '2024-03-01', '2024-06-15'],
    changes: ['2024-03-31T01:00:00Z', '2024-10-27T01:00:00Z'],
    skipped: ['2024-03-31T02:30', '2024-03-31T02:00:00', '2024-03-31T02:59:59.999'],
  },
  'America/New_York': {
    days: ['2024-01-01', '2024-02-01', '2024-02-29', '2024-03-01', '2024-06-15'],
    changes: ['2024-03-10T07:00:00Z', '2024-11-03T06:00:00Z'],
    skipped: ['2024-03-10T02:30', '2024-03-10T02:00:00', '2024-03-10T02:59:59.999'],
  },
};

t.setTimeout(120_000);

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(120_000);
  for (const zone of Object.keys(ZONES)) {
    await t.test(`times without a zone are in ${zone}`, (t) => check(t, adapter, zone));
  }
});

async function check(t: Test, { open }: Adapter, zone: string): Promise<void> {
  let ids = 0;
  const clock: Clock = { now: () => NOW, newId: () => `made-${++ids}` };
  const { store, close } = await open(clock);
  t.teardown(close);
  const tested = await engineOn(store, { clock, timeZone: zone });
  const edges = edgesOf(zone);
  const stored = [...new Map(edges.flatMap(storedAt).map((value) => [JSON.stringify(value), value])).values()];
  await load(stored, tested);

  const read = remembering((text: string) => dateSpan(text, zone));
  const spans = stored.map((value) => spanOf(value, read));
  const texts = [...new Set([...edges.flatMap(({ at }) => textsAt(at, zone)), ...(ZONES[zone]?.skipped ?? [])])];
  const searches = texts.flatMap((text) => PREFIXES.map((prefix) => ({ prefix, text })));
  const wrong: string[] = [];
  await severalAtOnce(searches, async ({ prefix, text }) => {
    const value = encodeURIComponent(text);
    const isFilter = prefix === 'po' || prefix === 'co';
    const asked = isFilter ? `_filter=date%20${prefix}%20${value}` : `date=${prefix}${value}`;
    const reply = await tested.ask('GET', `Observation?${asked}&_count=500`);
    const found = new Set(matchIds(reply));
    for (const [at, span] of spans.entries()) {
      const isExpected = span !== undefined && spanFits(span, prefix, read(text), NOW);
      if (found.has(`o${at}`) === isExpected) continue;
      wrong.push(`${prefix}${text} ${isExpected ? 'misses' : 'finds'} ${JSON.stringify(stored[at]?.value)}`);
    }
  });
  t.comment(`${stored.length} dates, ${searches.length} searches`);
  t.strictSame(wrong.slice(0, 10), [], 'each finds what its range holds');
  t.ok(searches.length >= SEARCHES_MIN, `${searches.length} searches`);
}

function remembering(read: (text: string) => Span): (text: string) => Span {
  const known = new Map<string, Span>();
  return (text) => {
    const span = known.get(text) ?? read(text);
    known.set(text, span);
    return span;
  };
}

async function load(stored: readonly TypedValue[], { ask }: TestEngine): Promise<void> {
  const entry = stored.map(({ type, value }, at) => ({
    request: { method: 'PUT', url: `Observation/o${at}` },
    resource: {
      resourceType: 'Observation',
      id: `o${at}`,
      status: 'final',
      code: { text: 'x' },
      [`effective${type.charAt(0).toUpperCase()}${type.slice(1)}`]: value,
    },
  }));
  const reply = await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
  if (reply.status !== 200) throw new Error(reply.text);
}

async function severalAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

// ---- edges ----

/** An instant at which a day begins or the clocks change, ms since the epoch, and the local days around it. */
interface Edge {
  at: number;
  before: string;
  after: string;
}

function edgesOf(zone: string): Edge[] {
  const { days = [], changes = [] } = ZONES[zone] ?? {};
  const starts = days.map((day) => Temporal.PlainDate.from(day).toZonedDateTime(zone).epochMilliseconds);
  // Where a day begins elsewhere is an edge of the texts with another offset.
  const elsewhere = [Date.UTC(2024, 0, 1), Date.UTC(2024, 1, 29)];
  return [...starts, ...elsewhere, ...changes.map((text) => Date.parse(text))].map((at) => ({
    at,
    before: localDay(at - 12 * HOUR_MS, zone),
    after: localDay(at + 12 * HOUR_MS, zone),
  }));
}

function local(at: number, zone: string): Temporal.PlainDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDateTime();
}

function localDay(at: number, zone: string): string {
  return local(at, zone).toPlainDate().toString();
}

/** An instant as a text of 16 (minutes), 19 (seconds) or 23 (milliseconds) characters and an offset; '' for none. */
function textOf(at: number, length: number, offset: string, zone: string): string {
  const of = offset === '' ? zone : offset === 'Z' ? 'UTC' : offset;
  return `${local(at, of).toString({ smallestUnit: 'millisecond' }).slice(0, length)}${offset}`;
}

// ---- what is stored ----

/** Dates, instants, Periods and Timings that begin, end or stand at an edge. */
function storedAt({ at, before, after }: Edge): TypedValue[] {
  const dates = [before, after].flatMap((day) => [day.slice(0, 4), day.slice(0, 7), day]);
  const instants = [at - 1, at, at + 1].map((one) => textOf(one, 23, 'Z', 'UTC'));
  const times = OFFSETS.flatMap((offset) => [textOf(at - 1000, 19, offset, ''), textOf(at, 19, offset, '')]);
  const [last = '', first = ''] = [textOf(at - 1000, 19, 'Z', ''), textOf(at, 19, '+14:00', '')];
  const periods = [
    { start: before, end: after },
    { start: after },
    { end: before },
    { start: last, end: first },
    { start: first },
    { end: last },
    { start: before.slice(0, 4), end: last },
    { start: first, end: after.slice(0, 7) },
  ];
  const timings = [
    { event: [before, first] },
    { event: [last] },
    { repeat: { boundsPeriod: { start: after } } },
    { event: [before.slice(0, 7)], repeat: { boundsPeriod: { end: first } } },
    { code: { text: 'BID' } },
  ];
  return [
    ...[...dates, ...times].map((value) => ({ type: 'dateTime', value })),
    ...instants.map((value) => ({ type: 'instant', value })),
    ...periods.map((value) => ({ type: 'Period', value })),
    ...timings.map((value) => ({ type: 'Timing', value })),
  ];
}

// ---- what is asked ----

/** Texts of every precision for the last stretch before an edge and the first one after it, in every zone. */
function textsAt(at: number, zone: string): string[] {
  const days = [at - 1, at].map((one) => localDay(one, zone));
  const dates = days.flatMap((day) => [day.slice(0, 4), day.slice(0, 7), day]);
  const lengths = [
    [16, 60_000],
    [19, 1000],
    [23, 1],
  ] as const;
  const times = ['', ...OFFSETS].flatMap((offset) =>
    lengths.flatMap(([length, ms]) => [at - ms, at].map((one) => textOf(one, length, offset, zone))),
  );
  return [...dates, ...times];
}
