// Made-up rows and made-up conditions on them, from a seed: the same seed gives the same test.
import type { Condition, Filter, Key, Slice, SortKey, Term, Write } from '../../src/store/store.ts';
import { NO_ORD, typeKey } from '../../src/store/store.ts';

export type Random = () => number;

/** Mulberry32: small, fast, and the same everywhere. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const below = (random: Random, bound: number): number => Math.floor(random() * bound);

export function pick<T>(random: Random, from: readonly T[]): T {
  const value = from[below(random, from.length)];
  if (value === undefined) throw new RangeError('nothing to pick from');
  return value;
}

export const types = ['Alpha', 'Beta', 'Gamma'] as const;
const ids = Array.from({ length: 40 }, (_, at) => `r${at}`);
const words = ['anna', 'ann', 'béla', 'z\uFFFD', 'z😀', 'z', '', 'Zoë\tx', 'mañana\tanna'];

/** Lists: a token (few values), a string, a number with a fixed-width tail, a reference. */
const token = (value: number): Key => `a.tok${value}`;
const text = (value: string): Key => `a.str${value}`;
const digits = (value: number): string => String(value).padStart(4, '0');
const range = (from: number, to: number): Key => `a.rng${digits(from)}${digits(to)}`;
const REFERENCE = 'a.ref';
/** A list that holds the clinical date. */
const dated = (day: number): Key => `a.day${digits(day)}`;
const DAY_MS = 86_400_000;

/** Terms that begin with one another, differ by case, or hold what a term's mapping must keep apart. */
const stems = ['t.a', 't.A', 't.ab', 't.a b', 't.a\tb', 't."a', 't.é', 't.z😀', 't.z\uFFFD', 'u.a', 'u.', 'u.*'];
const term = (random: Random): Term => `${pick(random, stems)}${pick(random, ['', '', 'b', ' b', '\u{10FFFF}'])}`;

export function randomWrite(random: Random, body: (type: string, id: string) => Partial<Write>): Write {
  const type = pick(random, types);
  const id = pick(random, ids);
  const keys = new Set<Key>([typeKey(type)]);
  for (let count = below(random, 3); count > 0; count--) keys.add(token(below(random, 4)));
  for (let count = below(random, 3); count > 0; count--) keys.add(text(pick(random, words)));
  for (let count = below(random, 3); count > 0; count--) {
    const from = below(random, 100);
    keys.add(range(from, from + below(random, 50)));
  }
  for (let count = below(random, 3); count > 0; count--)
    keys.add(`${REFERENCE}${pick(random, types)}/${pick(random, ids)}`);
  const terms = new Set<Term>();
  for (let count = random() < 0.3 ? 0 : below(random, 5); count > 0; count--) terms.add(term(random));
  const day = below(random, 30);
  const ord = random() < 0.2 ? NO_ORD : day * DAY_MS;
  if (ord !== NO_ORD) keys.add(dated(day));
  const write = {
    type,
    id,
    body: new Uint8Array(),
    stampAt: 0,
    ord,
    keys: [...keys],
    terms: [...terms],
    owner: `${type}/${id}`,
  };
  return { ...write, ...body(type, id) };
}

export function randomCondition(
  random: Random,
  depth: number,
  lastUpdated: readonly number[],
  options: { termless?: boolean } = {},
): Condition {
  const inner = (): Condition => randomCondition(random, depth - 1, lastUpdated, options);
  const branches = (): Condition[] => Array.from({ length: 1 + below(random, 3) }, inner);
  if (options.termless !== true && random() < 0.15) return randomTerm(random);
  if (options.termless !== true && random() < 0.15) return randomDates(random);
  const kinds = depth > 0 ? 13 : 7;
  switch (below(random, kinds)) {
    case 0:
    case 1:
      return { kind: 'key', key: token(below(random, 5)) };
    case 2:
      return random() < 0.5
        ? {
            kind: 'span',
            from: 'a.str',
            to: 'a.sts',
            within: {
              kind: pick(random, ['contains', 'ends']),
              text: pick(random, ['a', 'an', '\uFFFD', 'ñ', 'x', 'nn', '😀']),
            },
          }
        : { kind: 'span', from: text(pick(random, words)), to: text(pick(random, [...words, '\u{10FFFF}'])) };
    case 3: {
      const from = below(random, 100);
      const within = { kind: 'slices', of: randomSlices(random) } as const;
      return { kind: 'span', from: `a.rng${digits(from)}`, to: 'a.rnh', ...(random() < 0.7 ? { within } : {}) };
    }
    case 4:
      return { kind: 'ids', ids: Array.from({ length: below(random, 6) }, () => pick(random, ids)) };
    case 5:
      return {
        kind: 'lastUpdated',
        ...(random() < 0.6 ? { from: pick(random, lastUpdated) } : {}),
        ...(random() < 0.6 ? { to: pick(random, lastUpdated) } : {}),
      };
    case 6:
      return random() < 0.8
        ? { kind: 'key', key: `${REFERENCE}${pick(random, types)}/${pick(random, ids)}` }
        : { kind: random() < 0.7 ? 'all' : 'none' };
    case 7:
    case 8:
      return { kind: 'and', of: branches() };
    case 9:
      return { kind: 'or', of: branches() };
    case 10:
      return { kind: 'not', of: inner() };
    case 11:
      return {
        kind: 'refers',
        prefix: REFERENCE,
        to: { type: pick(random, types), where: inner() },
      };
    default:
      return {
        kind: 'referred',
        prefix: REFERENCE,
        by: { type: pick(random, types), where: inner() },
      };
  }
}

/** Of a range's key: its start, its end, or both. */
function randomSlices(random: Random): Slice[] {
  return Array.from({ length: pick(random, [1, 1, 2]) }, () => {
    const bound = below(random, 100);
    return {
      at: pick(random, [5, 9, 9, 9]),
      length: pick(random, [2, 4, 9]),
      ...(random() < 0.6 ? { atLeast: digits(bound).slice(0, pick(random, [2, 4])) } : {}),
      ...(random() < 0.6 ? { atMost: digits(bound + below(random, 80)) } : {}),
    };
  });
}

/** Clinical dates; and as FHIR dates are asked for: beside stretches of keys, some of which tell the dates of their rows. */
function randomDates(random: Random): Condition {
  const date = (): number => pick(random, [NO_ORD, below(random, 30) * DAY_MS, below(random, 30) * DAY_MS + 1]);
  const dates: Condition = {
    kind: 'ord',
    ...(random() < 0.7 ? { from: date() } : {}),
    ...(random() < 0.7 ? { to: date() } : {}),
  };
  if (random() < 0.4) return dates;
  const [from, to] = [below(random, 30), below(random, 30)];
  const told: Condition = {
    kind: 'span',
    from: dated(from),
    to: dated(Math.max(from, to)),
    ord: { from: from * DAY_MS, to: Math.max(from, to) * DAY_MS },
  };
  const some: Condition = { kind: 'span', from: `a.rng${digits(below(random, 100))}`, to: 'a.rnh' };
  return random() < 0.5
    ? { kind: 'or', of: [dates, told, some] }
    : random() < 0.5
      ? told
      : { kind: 'or', of: [dates, some] };
}

function randomTerm(random: Random): Condition {
  const value = term(random);
  if (random() < 0.5) return { kind: 'term', term: value };
  const characters = [...value];
  return { kind: 'term', term: characters.slice(0, 1 + below(random, characters.length)).join(''), prefix: true };
}

export function randomOrder(random: Random): SortKey[] {
  const choices: SortKey[] = [
    { by: 'ord', descending: random() < 0.5 },
    { by: 'lastUpdated', descending: random() < 0.5 },
    { by: 'keys', prefix: 'a.str', descending: random() < 0.5 },
    { by: 'keys', prefix: 'a.tok', descending: random() < 0.5 },
  ];
  return Array.from({ length: pick(random, [0, 1, 1, 1, 2, 3]) }, () => pick(random, choices));
}

export function randomFilter(random: Random, lastUpdated: readonly number[]): Filter {
  if (random() < 0.4) return { of: () => ({ kind: 'all' }) };
  const rules = new Map(
    types.map((type) => [type as string, randomCondition(random, 1, lastUpdated, { termless: true })]),
  );
  return { of: (type) => rules.get(type) ?? { kind: 'none' } };
}
