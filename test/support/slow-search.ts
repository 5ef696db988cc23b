// What a FHIR search must find, decided slowly on the content of resources: every resource is looked at and its values
// are compared as the specification says, with no index keys. It shares only the accessors of search expressions with
// the server. https://hl7.org/fhir/R4/search.html
import { Temporal } from 'temporal-polyfill';
import { limits } from '../../src/base/limits.ts';
import type { Definitions, SearchParameter } from '../../src/model/definitions.ts';
import { compileExpression, type TypedValue } from '../../src/model/search-accessors.ts';

export interface StoredResource {
  resourceType: string;
  id: string;
  meta: { lastUpdated: string };
  [member: string]: unknown;
}

export type Prefix = '' | 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/** A search value by its meaning; `text` is not escaped. */
export type SearchValue =
  | { kind: 'text'; text: string }
  /** `system` absent: any; '': none. `code` absent: any code of the system. */
  | { kind: 'token'; system?: string; code?: string }
  | { kind: 'ordered'; prefix: Prefix; text: string; system?: string; code?: string };

export type SlowCriterion =
  | { kind: 'parameter'; code: string; modifier?: string; values: readonly SearchValue[] }
  | { kind: 'chain'; code: string; target?: string; next: SlowCriterion }
  | { kind: 'has'; type: string; code: string; next: SlowCriterion };

export interface SlowContext {
  definitions: Definitions;
  baseUrl: string;
  timeZone: string;
}

export interface Span {
  from: number;
  to: number;
}

/** What a resource sorts by in one parameter; null: no value; undefined: not decided here. */
export type SlowSortValue = string | number | null | undefined;

export class SlowSearch {
  readonly #context: SlowContext;
  /** Live resources by "Type/id". */
  readonly resources = new Map<string, StoredResource>();
  readonly #accessors = new Map<string, (resource: object) => TypedValue[]>();
  readonly #values = new WeakMap<object, Map<string, TypedValue[]>>();

  constructor(context: SlowContext) {
    this.#context = context;
  }

  put(resource: StoredResource): void {
    this.resources.set(`${resource.resourceType}/${resource.id}`, resource);
  }

  delete(type: string, id: string): void {
    this.resources.delete(`${type}/${id}`);
  }

  ofType(type: string): StoredResource[] {
    return [...this.resources.values()].filter(({ resourceType }) => resourceType === type);
  }

  /** `now`: ms since the epoch; `ap` on a date is relative to it. */
  search(type: string, criteria: readonly SlowCriterion[], now: number): StoredResource[] {
    return this.ofType(type).filter((resource) => criteria.every((criterion) => this.#holds(resource, criterion, now)));
  }

  /** The values that a search parameter selects. */
  values(resource: StoredResource, code: string): TypedValue[] {
    let known = this.#values.get(resource);
    if (known === undefined) {
      known = new Map();
      this.#values.set(resource, known);
    }
    let values = known.get(code);
    if (values === undefined) {
      values = this.#accessor(resource.resourceType, code)(resource);
      known.set(code, values);
    }
    return values;
  }

  #accessor(type: string, code: string): (resource: object) => TypedValue[] {
    const name = `${type}.${code}`;
    let accessor = this.#accessors.get(name);
    if (accessor === undefined) {
      const { definitions } = this.#context;
      accessor = compileExpression(definitions, type, this.parameter(type, code).expression);
      this.#accessors.set(name, accessor);
    }
    return accessor;
  }

  parameter(type: string, code: string): SearchParameter {
    const parameter = this.#context.definitions.searchParameters(type).get(code);
    if (parameter === undefined) throw new RangeError(`${type} has no ${code}`);
    return parameter;
  }

  /** "Type/id" of the live resources that a reference parameter leads to. */
  targets(resource: StoredResource, code: string): string[] {
    const local = this.values(resource, code).map((value) => this.#referenceText(value));
    return [...new Set(local)].filter((target) => target !== undefined && this.resources.has(target)) as string[];
  }

  #holds(resource: StoredResource, criterion: SlowCriterion, now: number): boolean {
    switch (criterion.kind) {
      case 'chain':
        return this.targets(resource, criterion.code).some((target) => {
          const found = this.resources.get(target);
          if (found === undefined || (criterion.target ?? found.resourceType) !== found.resourceType) return false;
          const { targets } = this.parameter(resource.resourceType, criterion.code);
          if (targets.length > 0 && !targets.includes(found.resourceType)) return false;
          return this.#exists(found.resourceType, criterion.next) && this.#holds(found, criterion.next, now);
        });
      case 'has': {
        const own = `${resource.resourceType}/${resource.id}`;
        return this.ofType(criterion.type).some(
          (other) => this.targets(other, criterion.code).includes(own) && this.#holds(other, criterion.next, now),
        );
      }
      case 'parameter':
        return this.#matches(resource, criterion, now);
    }
  }

  /** Whether a type has the parameter that a step of a chain asks for. */
  #exists(type: string, criterion: SlowCriterion): boolean {
    return criterion.kind === 'has' || this.#context.definitions.searchParameters(type).has(criterion.code);
  }

  #matches(
    resource: StoredResource,
    { code, modifier, values }: Extract<SlowCriterion, { kind: 'parameter' }>,
    now: number,
  ): boolean {
    if (code === '_id') {
      const found = values.some((value) => value.kind === 'text' && value.text === resource.id);
      return modifier === 'not' ? !found : found;
    }
    const stored = this.values(resource, code);
    if (modifier === 'missing') {
      return values.some((value) => value.kind === 'text' && value.text === String(stored.length === 0));
    }
    const parameter = this.parameter(resource.resourceType, code);
    const found = values.some((value) => stored.some((one) => this.#fits(one, value, parameter, modifier, now)));
    return modifier === 'not' ? !found : found;
  }

  #fits(
    stored: TypedValue,
    asked: SearchValue,
    parameter: SearchParameter,
    modifier: string | undefined,
    now: number,
  ): boolean {
    switch (parameter.type) {
      case 'string':
        return asked.kind === 'text' && textsOf(stored).some((text) => stringFits(text, asked.text, modifier));
      case 'token':
        return asked.kind === 'token' && codingsOf(stored).some((coding) => tokenFits(coding, asked));
      case 'reference':
        return this.#referenceFits(stored, asked, parameter, modifier);
      case 'uri':
        return asked.kind === 'text' && uriFits(String(stored.value), asked.text, modifier);
      case 'date': {
        const span = this.span(stored);
        return asked.kind === 'ordered' && span !== undefined && this.#dateFits(span, asked, now);
      }
      case 'number':
      case 'quantity':
        return asked.kind === 'ordered' && quantitiesOf(stored).some((quantity) => quantityFits(quantity, asked));
      default:
        throw new RangeError(`no search for ${parameter.type}`);
    }
  }

  // ---- references ----

  /** "Type/id" of a reference to here; the text of any other; undefined for contained ones and those without text. */
  #referenceText({ value }: TypedValue): string | undefined {
    const text = typeof value === 'string' ? value : (value as { reference?: string }).reference;
    return text === undefined || text.startsWith('#') ? undefined : this.#localText(text);
  }

  #localText(text: string): string {
    const { baseUrl, definitions } = this.#context;
    const relative = text.startsWith(`${baseUrl}/`) ? text.slice(baseUrl.length + 1) : text;
    const [type = '', id, history, , ...more] = relative.split('/');
    const isLocal = definitions.isResourceType(type) && id !== undefined && /^[\w.-]+$/.test(id);
    return isLocal && more.length === 0 && (history ?? '_history') === '_history' ? `${type}/${id}` : text;
  }

  #referenceFits(
    stored: TypedValue,
    asked: SearchValue,
    parameter: SearchParameter,
    modifier: string | undefined,
  ): boolean {
    if (asked.kind === 'token') {
      const { identifier } = stored.value as { identifier?: object };
      if (identifier === undefined) return false;
      return codingsOf({ type: 'Identifier', value: identifier }).some((coding) => tokenFits(coding, asked));
    }
    if (asked.kind !== 'text') return false;
    if (stored.type === 'canonical') {
      // A canonical does not tell a type.
      if (modifier !== undefined) return false;
      const text = String(stored.value);
      return asked.text === text || asked.text === text.split('|')[0];
    }
    const text = this.#referenceText(stored);
    if (text === undefined) return false;
    const [type = '', id] = text.split('/');
    const isLocal = this.#context.definitions.isResourceType(type);
    if (modifier !== undefined && (!isLocal || type !== modifier)) return false;
    if (asked.text.includes('/') || asked.text.includes(':')) return this.#localText(asked.text) === text;
    const targets = modifier === undefined ? parameter.targets : [modifier];
    return isLocal && id === asked.text && (targets.length === 0 || targets.includes(type));
  }

  // ---- dates ----

  /** The half-open range of time that a date, Period or Timing stands for; open ends are infinite. */
  span({ type, value }: TypedValue): Span | undefined {
    if (typeof value === 'string') return this.#dateSpan(value);
    if (type === 'Period') {
      const { start, end } = value as { start?: string; end?: string };
      const from = start === undefined ? Number.NEGATIVE_INFINITY : this.#dateSpan(start).from;
      const to = end === undefined ? Number.POSITIVE_INFINITY : this.#dateSpan(end).to;
      // One that ends before it starts is no period; it is taken for the instant at which it starts.
      return { from, to: Math.max(to, from + 1) };
    }
    if (type !== 'Timing') return undefined;
    const { event = [], repeat } = value as { event?: string[]; repeat?: { boundsPeriod?: object } };
    const spans = event.map((one) => this.#dateSpan(one));
    const bounds = repeat?.boundsPeriod && this.span({ type: 'Period', value: repeat.boundsPeriod });
    if (bounds !== undefined) spans.push(bounds);
    if (spans.length === 0) return undefined;
    return { from: Math.min(...spans.map(({ from }) => from)), to: Math.max(...spans.map(({ to }) => to)) };
  }

  readonly #spans = new Map<string, Span>();

  #dateSpan(text: string): Span {
    let span = this.#spans.get(text);
    if (span === undefined) {
      span = dateSpan(text, this.#context.timeZone);
      this.#spans.set(text, span);
    }
    return span;
  }

  #dateFits(stored: Span, { prefix, text }: Extract<SearchValue, { kind: 'ordered' }>, now: number): boolean {
    const asked = this.#dateSpan(text);
    const isWithin = asked.from <= stored.from && stored.to <= asked.to;
    switch (prefix) {
      case '':
      case 'eq':
        return isWithin;
      case 'ne':
        return !isWithin;
      case 'gt':
        return stored.to > asked.to;
      case 'lt':
        return stored.from < asked.from;
      case 'ge':
        return stored.to > asked.to || isWithin;
      case 'le':
        return stored.from < asked.from || isWithin;
      case 'sa':
        return stored.from >= asked.to;
      case 'eb':
        return stored.to <= asked.from;
      case 'ap': {
        const margin = Math.floor(Math.min(Math.abs(now - asked.from), Math.abs(now - asked.to)) / 10);
        return stored.from < asked.to + margin && stored.to > asked.from - margin;
      }
    }
  }

  // ---- order ----

  /** The value that comes first in the order asked for, of those that the parameter has. */
  sortValue(resource: StoredResource, code: string, descending: boolean): SlowSortValue {
    if (code === '_lastUpdated') return Date.parse(resource.meta.lastUpdated);
    const { type } = this.parameter(resource.resourceType, code);
    const found: (string | number)[] = [];
    for (const value of this.values(resource, code)) {
      if (type === 'date') {
        const from = this.span(value)?.from;
        // What a period without a start sorts by is for the server to choose.
        if (from === Number.NEGATIVE_INFINITY) return undefined;
        if (from !== undefined) found.push(from);
      } else if (type === 'string') found.push(...textsOf(value).map(folded));
      else if (type === 'token') found.push(...codingsOf(value).flatMap((coding) => coding.code?.toLowerCase() ?? []));
      else if (type === 'reference') return undefined;
      else if (type === 'uri') found.push(String(value.value));
      else {
        for (const { low, high } of quantitiesOf(value)) {
          if (low !== high) return undefined;
          found.push(low);
        }
      }
    }
    found.sort(compareValues);
    return (descending ? found.at(-1) : found[0]) ?? null;
  }
}

/** Order of sort values: numbers by size, texts by their characters' code points. */
export function compareValues(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}

// ---- strings ----

const PARTS = 'text family given prefix suffix line city district state postalCode country'.split(' ');

function textsOf({ value }: TypedValue): string[] {
  if (typeof value === 'string') return [value];
  const object = value as Record<string, unknown>;
  return PARTS.flatMap((part) => (object[part] ?? []) as string | string[]);
}

const LIKE: Readonly<Record<string, string>> = { Ł: 'l', ł: 'l', ß: 'ss', ς: 'σ' };

/** Letter by letter, so that no letter depends on what follows it. */
const folded = (text: string): string =>
  [...text.normalize('NFKD').replace(/\p{M}/gu, '')]
    .map((letter) => LIKE[letter] ?? letter.toLowerCase())
    .join('')
    .replace(/\s+/g, ' ')
    .trim();

function stringFits(stored: string, asked: string, modifier: string | undefined): boolean {
  if (modifier === 'exact') return stored === asked;
  if (modifier === 'contains') return folded(stored).includes(folded(asked));
  // The index keeps so much of the beginning of each text.
  return folded(stored).slice(0, limits.stringKeyCharsMax).startsWith(folded(asked));
}

// ---- tokens ----

interface CodingValue {
  /** undefined: the element has no place for a system; '': it has none. */
  system: string | undefined;
  code: string | undefined;
}

function codingsOf({ type, value }: TypedValue): CodingValue[] {
  if (typeof value !== 'object' || value === null) return [{ system: undefined, code: String(value) }];
  const object = value as Record<string, unknown>;
  const text = (name: string): string | undefined => object[name] as string | undefined;
  if (type === 'CodeableConcept') {
    return ((object.coding ?? []) as object[]).flatMap((coding) => codingsOf({ type: 'Coding', value: coding }));
  }
  if (type === 'Identifier') return [{ system: text('system') ?? '', code: text('value') }];
  if (type === 'ContactPoint') return [{ system: undefined, code: text('value') }];
  return [{ system: text('system') ?? '', code: text('code') }];
}

function tokenFits(stored: CodingValue, asked: { system?: string; code?: string }): boolean {
  if (asked.code === undefined) return asked.system !== undefined && stored.system === asked.system;
  if (stored.code?.toLowerCase() !== asked.code.toLowerCase()) return false;
  return asked.system === undefined || stored.system === undefined || stored.system === asked.system;
}

// ---- uris ----

function uriFits(stored: string, asked: string, modifier: string | undefined): boolean {
  const below = (upper: string, lower: string): boolean =>
    upper === lower || lower.startsWith(upper.endsWith('/') ? upper : `${upper}/`);
  if (modifier === 'below') return below(asked, stored);
  return modifier === 'above' ? below(stored, asked) : stored === asked;
}

// ---- dates ----

const DATE = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

/** The half-open range of a date text, ms since the epoch. */
function dateSpan(text: string, zone: string): Span {
  const match = DATE.exec(text);
  if (match === null) throw new RangeError(`no date: ${text}`);
  const [, year, month, day, hour, minute, second, fraction, offset] = match;
  if (hour === undefined) {
    const first = new Temporal.PlainDate(Number(year), Number(month ?? 1), Number(day ?? 1));
    const next = first.add(day !== undefined ? { days: 1 } : month !== undefined ? { months: 1 } : { years: 1 });
    return { from: startOfDay(first, zone), to: startOfDay(next, zone) };
  }
  const ms = Number((fraction ?? '').padEnd(3, '0').slice(0, 3));
  const plain = new Temporal.PlainDateTime(
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second ?? 0),
    ms,
  );
  const from = plain.toZonedDateTime(offset === undefined ? zone : offset === 'Z' ? 'UTC' : offset).epochMilliseconds;
  const length = second === undefined ? 60_000 : fraction === undefined ? 1000 : 10 ** Math.max(0, 3 - fraction.length);
  return { from, to: from + length };
}

const startOfDay = (date: Temporal.PlainDate, zone: string): number => date.toZonedDateTime(zone).epochMilliseconds;

// ---- numbers and quantities ----

interface QuantityRange {
  low: number;
  high: number;
  system?: string;
  code?: string;
  unit?: string;
}

interface QuantityValue {
  value?: number;
  unit?: string;
  system?: string;
  code?: string;
  currency?: string;
}

function quantitiesOf({ type, value }: TypedValue): QuantityRange[] {
  if (typeof value === 'number') return [{ low: value, high: value }];
  if (type === 'Range') {
    const { low, high } = value as { low?: QuantityValue; high?: QuantityValue };
    if (low?.value === undefined && high?.value === undefined) return [];
    const { system, code, unit } = low ?? high ?? {};
    return [
      {
        low: low?.value ?? Number.NEGATIVE_INFINITY,
        high: high?.value ?? Number.POSITIVE_INFINITY,
        ...(system === undefined ? {} : { system }),
        ...(code === undefined ? {} : { code }),
        ...(unit === undefined ? {} : { unit }),
      },
    ];
  }
  const quantity = (type === 'SampledData' ? (value as { origin: object }).origin : value) as QuantityValue;
  if (quantity.value === undefined) return [];
  const range = { ...quantity, low: quantity.value, high: quantity.value };
  return [
    quantity.currency === undefined ? range : { ...range, system: 'urn:iso:std:iso:4217', code: quantity.currency },
  ];
}

type Ordered = Extract<SearchValue, { kind: 'ordered' }>;

function quantityFits(stored: QuantityRange, asked: Ordered): boolean {
  if (asked.code !== undefined) {
    const { system = '', code } = asked;
    const isUnit = system === '' ? stored.code === code || stored.unit === code : false;
    if (!isUnit && !(stored.system === system && stored.code === code)) return false;
  }
  return numberFits(stored, asked.prefix, asked.text);
}

/** Digits behind the point with which numbers are compared exactly. */
const SCALE = 40;

/** value × 10^SCALE, exact. */
function scaled(text: string): bigint {
  const [, sign, whole = '', fraction = '', exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const shift = SCALE - fraction.length + Number(exponent ?? 0);
  if (whole === '' || shift < 0) throw new RangeError(`no number for this test: ${text}`);
  const digits = BigInt(whole + fraction) * 10n ** BigInt(shift);
  return sign === '-' ? -digits : digits;
}

/** Half of the last digit written, × 10^SCALE; a single digit with an exponent counts as two. */
function halfDigit(text: string): bigint {
  const [, whole = '', fraction = '', exponent] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const isSingle = exponent !== undefined && whole.length + fraction.length === 1;
  return 5n * 10n ** BigInt(SCALE - fraction.length + Number(exponent ?? 0) - 1 - (isSingle ? 1 : 0));
}

/** Infinities stand beyond every number that a test asks for. */
function bound(value: number): bigint {
  if (Number.isFinite(value)) return scaled(String(value));
  return value < 0 ? -(10n ** 400n) : 10n ** 400n;
}

function numberFits(stored: QuantityRange, prefix: Prefix, text: string): boolean {
  const low = bound(stored.low);
  const high = bound(stored.high);
  const value = scaled(text);
  const half = halfDigit(text);
  const isPoint = low === high;
  // A point at the upper edge rounds up and so is no longer within.
  const isWithin = value - half <= low && (isPoint ? high < value + half : high <= value + half);
  switch (prefix) {
    case '':
    case 'eq':
      return isWithin;
    case 'ne':
      return !isWithin;
    case 'gt':
      return high > value;
    case 'ge':
      return high >= value;
    case 'lt':
      return low < value;
    case 'le':
      return low <= value;
    case 'sa':
      return low > value;
    case 'eb':
      return high < value;
    case 'ap': {
      const tenth = (value < 0n ? -value : value) / 10n;
      const margin = tenth > half ? tenth : half;
      return low <= value + margin && high >= value - margin;
    }
  }
}
