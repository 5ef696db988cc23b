// A resource as the index sees it: its keys, its clinical date and its owner. https://hl7.org/fhir/R4/search.html
import { FhirError } from '../../base/outcome.ts';
import { dateRange, MAX_TIME, MIN_TIME, periodRange, timingRange } from '../../model/dates.ts';
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { parseCanonical, parseReference } from '../../model/references.ts';
import type { Accessor, TypedValue } from '../../model/search-accessors.ts';
import { indexedParameters } from '../../model/search-parameters.ts';
import { type Key, NO_ORD, type Term, typeKey } from '../../store/store.ts';
import {
  codedUnitLists,
  compartmentKey,
  keys,
  numberKey,
  numberLists,
  numberRangeKeys,
  parameterPrefix,
  unitLists,
} from './keys.ts';
import { ordParameter } from './ord.ts';

export interface IndexContext {
  definitions: Definitions;
  /** Where this server answers, without a trailing slash: references below it are local ones. */
  baseUrl: string;
  /** IANA name of the zone in which times without an offset are read. */
  timeZone: string;
}

export interface IndexEntry {
  keys: Key[];
  terms: Term[];
  /** ms since the epoch, or NO_ORD. */
  ord: number;
  /** "Patient/1", or the resource itself where no patient owns it. */
  owner: string;
}

type Emit = (prefix: Key, value: TypedValue, context: IndexContext, out: Set<Key>) => void;

interface Indexer {
  prefix: Key;
  accessor: Accessor;
  emit: Emit;
}

interface TypeIndexer {
  indexers: readonly Indexer[];
  /** Prefixes of the references that make a resource of this type a member of a patient's compartment. */
  patientPrefixes: readonly Key[];
  /** Reference to the owner is looked for in the first of these that has one. */
  ord: Accessor | undefined;
}

const typeIndexers = new WeakMap<Definitions, Map<string, TypeIndexer>>();

function typeIndexer(definitions: Definitions, type: string): TypeIndexer {
  let known = typeIndexers.get(definitions);
  if (known === undefined) {
    known = new Map();
    typeIndexers.set(definitions, known);
  }
  let indexer = known.get(type);
  if (indexer === undefined) {
    const parameters = indexedParameters(definitions, type);
    const ord = ordParameter(definitions, type);
    indexer = {
      indexers: parameters.map(({ parameter, accessor }) => ({
        prefix: parameterPrefix(type, parameter.code),
        accessor,
        emit: emitters[parameter.type] ?? nothing,
      })),
      patientPrefixes: (definitions.compartments.get('Patient')?.get(type) ?? []).map(
        (code) => `${parameterPrefix(type, code)}rPatient/`,
      ),
      ord: ord && parameters.find(({ parameter }) => parameter.code === ord.code)?.accessor,
    };
    known.set(type, indexer);
  }
  return indexer;
}

/**
 * Keys, date and owner of a resource with an id. The resource has passed the structure check; where a value still
 * cannot be read (a date with month 13), it has no key and no one is hindered from storing it.
 */
export function indexResource(resource: { resourceType: string; id: string }, context: IndexContext): IndexEntry {
  const type = resource.resourceType;
  const { indexers, patientPrefixes, ord } = typeIndexer(context.definitions, type);
  const out = new Set<Key>([typeKey(type)]);
  for (const { prefix, accessor, emit } of indexers) {
    const values = accessor(resource);
    if (values.length === 0) continue;
    const before = out.size;
    for (const value of values) emit(prefix, contentOf(value), context, out);
    if (out.size === before) out.add(keys.present(prefix));
  }
  const patients = patientsOf(resource, patientPrefixes, out);
  for (const patient of patients) out.add(compartmentKey(patient, type));
  const [owner] = patients;
  return {
    keys: [...out],
    terms: [],
    ord: ord === undefined ? NO_ORD : earliest(ord(resource), context),
    owner: owner === undefined ? `${type}/${resource.id}` : `Patient/${owner}`,
  };
}

/** An extension stands for its value: eight standard parameters select one by its url. */
function contentOf(typed: TypedValue): TypedValue {
  if (typed.type !== 'Extension') return typed;
  const [name = '', value] = Object.entries(typed.value as object).find(([member]) => member.startsWith('value')) ?? [];
  return { type: name.slice('value'.length), value };
}

function patientsOf(
  resource: { resourceType: string; id: string },
  prefixes: readonly Key[],
  found: ReadonlySet<Key>,
): Set<string> {
  const patients = new Set<string>();
  if (resource.resourceType === 'Patient') patients.add(resource.id);
  if (prefixes.length > 0) {
    for (const key of found) {
      for (const prefix of prefixes) if (key.startsWith(prefix)) patients.add(key.slice(prefix.length));
    }
  }
  return patients;
}

function earliest(values: readonly TypedValue[], context: IndexContext): number {
  let first = Number.POSITIVE_INFINITY;
  for (const value of values) {
    const range = rangeOf(value, context.timeZone);
    if (range === undefined) continue;
    // A period open at its start is dated by its end.
    first = Math.min(
      first,
      range.from > MIN_TIME ? range.from : range.to < MAX_TIME ? range.to : Number.POSITIVE_INFINITY,
    );
  }
  return Number.isFinite(first) ? first : NO_ORD;
}

/** The half-open range a date-like value stands for; undefined when it cannot be read. */
function rangeOf({ type, value }: TypedValue, zone: string): { from: number; to: number } | undefined {
  try {
    if (typeof value === 'string') return dateRange(value, zone);
    if (type === 'Period') return periodRange(value as { start?: string; end?: string }, zone);
    if (type === 'Timing') return timingRange(value as object, zone);
    return undefined;
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

const nothing: Emit = () => {};

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** Parts of a HumanName or Address that a string search looks at. https://hl7.org/fhir/R4/search.html#string */
const STRING_PARTS = [
  'text',
  'family',
  'given',
  'prefix',
  'suffix',
  'line',
  'city',
  'district',
  'state',
  'postalCode',
  'country',
];

const emitString: Emit = (prefix, { value }, _context, out) => {
  if (isText(value)) addString(prefix, value, out);
  else if (typeof value === 'object' && value !== null) {
    for (const name of STRING_PARTS) {
      const part = (value as Record<string, unknown>)[name];
      for (const text of Array.isArray(part) ? part : [part]) if (isText(text)) addString(prefix, text, out);
    }
  }
};

function addString(prefix: Key, text: string, out: Set<Key>): void {
  out.add(keys.string(prefix, text));
  for (const key of keys.stringWindows(prefix, text)) out.add(key);
}

function addCoding(prefix: Key, system: unknown, code: unknown, out: Set<Key>): void {
  if (isText(code)) addToken(prefix, system, code, 't', out);
  if (isText(system)) out.add(keys.tokenSystem(prefix, system));
}

function addToken(prefix: Key, system: unknown, code: string, list: 't' | 'i', out: Set<Key>): void {
  out.add(keys.token(prefix, code, isText(system) ? system : '', list));
  out.add(keys.anySystem(prefix, code, list));
}

const emitToken: Emit = (prefix, { type, value }, _context, out) => {
  if (typeof value !== 'object' || value === null) {
    if (isText(value) || typeof value === 'boolean' || typeof value === 'number') {
      out.add(keys.token(prefix, String(value), undefined));
    }
    return;
  }
  const object = value as Record<string, unknown>;
  if (type === 'CodeableConcept') {
    if (Array.isArray(object.coding)) {
      for (const coding of object.coding) addCoding(prefix, coding?.system, coding?.code, out);
    }
  } else if (type === 'Identifier') addCoding(prefix, object.system, object.value, out);
  else if (type === 'ContactPoint') {
    if (isText(object.value)) out.add(keys.token(prefix, object.value, undefined));
  } else addCoding(prefix, object.system, object.code, out);
};

const emitReference: Emit = (prefix, { type, value }, context, out) => {
  if (isText(value)) {
    if (type === 'canonical') {
      const { url, version } = parseCanonical(value);
      addTarget(prefix, url, context, out);
      if (version !== undefined) out.add(keys.reference(prefix, `${url}|${version}`));
    } else addTarget(prefix, value, context, out);
    return;
  }
  const { reference, identifier } = (value ?? {}) as {
    reference?: unknown;
    identifier?: { system?: unknown; value?: unknown };
  };
  if (isText(reference)) addTarget(prefix, reference, context, out);
  if (isText(identifier?.value)) addToken(prefix, identifier.system, identifier.value, 'i', out);
  if (isText(identifier?.system)) out.add(keys.tokenSystem(prefix, identifier.system, 'j'));
};

function addTarget(prefix: Key, text: string, context: IndexContext, out: Set<Key>): void {
  const target = referenceTarget(text, context);
  if (target !== undefined) out.add(keys.reference(prefix, target));
}

/** What a reference is indexed and searched by: "Type/id" here, the whole text elsewhere; undefined for `#contained`. */
export function referenceTarget(text: string, context: IndexContext): string | undefined {
  const reference = parseReference(text, context.baseUrl, (type) => context.definitions.isResourceType(type));
  if (reference.kind === 'contained') return undefined;
  return reference.kind === 'relative' ? `${reference.type}/${reference.id}` : text;
}

const emitUri: Emit = (prefix, { type, value }, _context, out) => {
  if (!isText(value)) return;
  out.add(keys.uri(prefix, value));
  // A profile that is claimed in one version is claimed.
  if (type === 'canonical' && value.includes('|')) out.add(keys.uri(prefix, parseCanonical(value).url));
};

const emitDate: Emit = (prefix, value, context, out) => {
  const range = rangeOf(value, context.timeZone);
  if (range === undefined) return;
  for (const key of keys.date(prefix, range.from, range.to)) out.add(key);
};

const emitNumber: Emit = (prefix, { value }, _context, out) => {
  if (typeof value === 'number') out.add(keys.number(prefix, value));
  else if (typeof value === 'object' && value !== null) addRange(prefix, value as RangeValue, out);
};

interface QuantityValue {
  value?: unknown;
  unit?: unknown;
  system?: unknown;
  code?: unknown;
  currency?: unknown;
}

interface RangeValue {
  low?: QuantityValue;
  high?: QuantityValue;
}

/** The lists a quantity stands in: any unit; system and code; code; unit text where it differs. */
function quantityLists(prefix: Key, { unit, system, code, currency }: QuantityValue) {
  const lists = [numberLists(prefix)];
  const [unitSystem, unitCode] = isText(currency) ? ['urn:iso:std:iso:4217', currency] : [system, code];
  if (isText(unitCode)) {
    if (isText(unitSystem)) lists.push(codedUnitLists(prefix, unitSystem, unitCode));
    lists.push(unitLists(prefix, unitCode));
  }
  if (isText(unit) && unit !== unitCode) lists.push(unitLists(prefix, unit));
  return lists;
}

function addRange(prefix: Key, { low, high }: RangeValue, out: Set<Key>): void {
  const from = typeof low?.value === 'number' ? low.value : Number.NEGATIVE_INFINITY;
  const to = typeof high?.value === 'number' ? high.value : Number.POSITIVE_INFINITY;
  if (from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY) return;
  for (const lists of quantityLists(prefix, low ?? high ?? {})) {
    // A range of one value is that value.
    if (from === to) out.add(numberKey(lists, from));
    else for (const key of numberRangeKeys(lists, from, to)) out.add(key);
  }
}

const emitQuantity: Emit = (prefix, { type, value }, _context, out) => {
  if (typeof value === 'number') out.add(keys.number(prefix, value));
  if (typeof value !== 'object' || value === null) return;
  if (type === 'Range') return addRange(prefix, value as RangeValue, out);
  const quantity = (type === 'SampledData' ? (value as { origin?: unknown }).origin : value) as
    | QuantityValue
    | undefined;
  if (typeof quantity?.value !== 'number') return;
  for (const lists of quantityLists(prefix, quantity)) out.add(numberKey(lists, quantity.value));
};

const emitters: Partial<Record<SearchParameter['type'], Emit>> = {
  string: emitString,
  token: emitToken,
  reference: emitReference,
  uri: emitUri,
  date: emitDate,
  number: emitNumber,
  quantity: emitQuantity,
};
