// A resource as the index sees it: its keys, its clinical date and its owner. https://hl7.org/fhir/R4/search.html
import { MAX_TIME, MIN_TIME } from '../../model/dates.ts';
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { parseCanonical } from '../../model/references.ts';
import { type Accessor, compileExpression, type TypedValue } from '../../model/search-accessors.ts';
import { indexedParameters } from '../../model/search-parameters.ts';
import { type Key, NO_ORD, type Term, typeKey } from '../../store/store.ts';
import { consentKeys } from '../access/consents.ts';
import { restrictionKeys } from '../access/labels.ts';
import { type AttachmentIndexer, attachmentIndexer, contextKeys } from './attachments.ts';
import { type CompositeIndexer, compositeIndexers } from './composite.ts';
import { wordsOfResource, wordTerms } from './full-text.ts';
import {
  codedUnitLists,
  compartmentKey,
  containerKey,
  keys,
  numberKey,
  numberKeys,
  numberLists,
  numberRangeKeys,
  parameterPrefix,
  terms,
} from './keys.ts';
import { listsOf } from './lists.ts';
import { positionKey } from './near.ts';
import { ordParameter } from './ord.ts';
import { canonicalUnit, inCanonicalUnit, type QuantityValue, quantityUnits, type RangeValue } from './quantity.ts';
import { type IndexContext, isText, rangeOf, referenceTarget, tokensOf } from './values.ts';

export interface IndexEntry {
  keys: Key[];
  terms: Term[];
  /** ms since the epoch, or NO_ORD. */
  ord: number;
  /** "Patient/1", or the resource itself where no patient owns it. */
  owner: string;
}

/** What a resource is found by, while it is collected. */
export interface Found {
  keys: Set<Key>;
  terms: Set<Term>;
}

type Emit = (prefix: Key, value: TypedValue, context: IndexContext, out: Found) => void;

interface Indexer {
  prefix: Key;
  accessor: Accessor;
  emit: Emit;
  /** Beginning of the references that stand in another parameter's list (see lists.ts). */
  elsewhere?: string;
}

interface TypeIndexer {
  indexers: readonly Indexer[];
  composites: readonly CompositeIndexer[];
  /** Prefixes of the references that make a resource of this type a member of a patient's compartment. */
  patientPrefixes: readonly Key[];
  /** Reference to the owner is looked for in the first of these that has one. */
  ord: Accessor | undefined;
  /** What Binaries are attached; absent where the type has no attachments. */
  attachments: AttachmentIndexer | undefined;
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
      indexers: [
        ...parameters.flatMap(({ parameter, accessor }) => indexerOf(definitions, type, parameter, accessor)),
        ...positionIndexers(definitions, type),
      ],
      composites: compositeIndexers(definitions, type),
      patientPrefixes: (definitions.compartments.get('Patient')?.get(type) ?? []).flatMap((code) =>
        listsOf(definitions, type, code).lists.map(({ prefix }) => `${prefix}rPatient/`),
      ),
      ord: ord && parameters.find(({ parameter }) => parameter.code === ord.code)?.accessor,
      attachments: attachmentIndexer(definitions, type),
    };
    known.set(type, indexer);
  }
  return indexer;
}

function indexerOf(definitions: Definitions, type: string, parameter: SearchParameter, accessor: Accessor): Indexer[] {
  const { writes } = listsOf(definitions, type, parameter.code);
  if (writes === 'nothing') return [];
  const prefix = parameterPrefix(type, parameter.list ?? parameter.code);
  const indexer: Indexer = { prefix, accessor, emit: emitters[parameter.type] ?? nothing };
  return [writes === 'all' ? indexer : { ...indexer, elsewhere: `${prefix}r${writes.allBut}` }];
}

/** What `near` looks at. */
function positionIndexers(definitions: Definitions, type: string): Indexer[] {
  const near = definitions.searchParameters(type).get('near');
  if (near === undefined || near.expression === '') return [];
  const accessor = compileExpression(definitions, type, near.expression);
  return [{ prefix: parameterPrefix(type, near.code), accessor, emit: emitPosition }];
}

const emitPosition: Emit = (prefix, { value }, _context, out) => {
  const { latitude, longitude } = value as { latitude?: unknown; longitude?: unknown };
  if (typeof latitude === 'number' && typeof longitude === 'number') {
    out.keys.add(positionKey(prefix, latitude, longitude));
  }
};

/**
 * Keys, terms, date and owner of a resource with an id. The resource has passed the structure check; where a value still
 * cannot be read (a date with month 13), it has no key and no one is hindered from storing it.
 */
export function indexResource(
  resource: { resourceType: string; id: string; contained?: unknown },
  context: IndexContext,
): IndexEntry {
  const type = resource.resourceType;
  const { indexers, composites, patientPrefixes, ord, attachments } = typeIndexer(context.definitions, type);
  const out: Found = { keys: new Set([typeKey(type)]), terms: new Set() };
  for (const indexer of indexers) {
    const values = indexer.accessor(resource);
    if (values.length > 0) addValues(indexer, values, context, out);
  }
  for (const composite of composites) composite(resource, context, out.keys);
  addWords(resource, out);
  addContained(resource, out);
  for (const key of restrictionKeys(type, out.keys)) out.keys.add(key);
  if (type === 'Consent') for (const key of consentKeys(resource)) out.keys.add(key);
  if (type === 'Binary') for (const key of contextKeys(resource, context)) out.keys.add(key);
  attachments?.(resource, context, out.keys);
  const patients = patientsOf(resource, patientPrefixes, out.keys);
  for (const patient of patients) out.keys.add(compartmentKey(patient, type));
  const [owner] = patients;
  return {
    keys: [...out.keys],
    terms: [...out.terms],
    ord: ord === undefined ? NO_ORD : earliest(ord(resource), context),
    owner: owner === undefined ? `${type}/${resource.id}` : `Patient/${owner}`,
  };
}

/** Full text: what `_text` and `_content` look at. */
function addWords(resource: { resourceType: string }, { terms }: Found): void {
  const { narrative, content } = wordsOfResource(resource);
  for (const term of wordTerms(parameterPrefix(resource.resourceType, '_text'), narrative)) terms.add(term);
  for (const term of wordTerms(parameterPrefix(resource.resourceType, '_content'), content)) terms.add(term);
}

function addContained(resource: { contained?: unknown }, { keys }: Found): void {
  if (!Array.isArray(resource.contained)) return;
  for (const { resourceType } of resource.contained) keys.add(containerKey(resourceType));
}

function addValues(
  { prefix, emit, elsewhere }: Indexer,
  values: readonly TypedValue[],
  context: IndexContext,
  out: Found,
): void {
  const before = out.keys.size;
  for (const value of values) emit(prefix, contentOf(value), context, out);
  if (out.keys.size === before) out.keys.add(keys.present(prefix));
  else if (elsewhere !== undefined) {
    for (const key of out.keys) if (key.startsWith(elsewhere)) out.keys.delete(key);
  }
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

const nothing: Emit = () => {};

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

function addString(prefix: Key, text: string, out: Found): void {
  out.keys.add(keys.string(prefix, text));
  for (const key of keys.stringWindows(prefix, text)) out.keys.add(key);
}

const emitToken: Emit = (prefix, { type, value }, _context, out) => {
  for (const { system, code } of tokensOf({ type, value })) {
    if (code !== undefined) out.keys.add(keys.token(prefix, code, system));
    if (system !== undefined && system !== '') out.terms.add(terms.tokenSystem(prefix, system));
  }
  if (typeof value === 'object' && value !== null) addTokenText(prefix, type, value as Record<string, unknown>, out);
};

/** What a person reads instead of the code, for `:text`; and what kind of identifier it is, for `:of-type`. */
function addTokenText(prefix: Key, type: string, value: Record<string, unknown>, out: Found): void {
  const kind = type === 'Identifier' ? value.type : value;
  if (typeof kind !== 'object' || kind === null) return;
  const { text, display, coding } = kind as { text?: unknown; display?: unknown; coding?: unknown };
  const codings = Array.isArray(coding) ? coding : [];
  for (const one of [text, display, ...codings.map((coding) => coding?.display)]) {
    if (isText(one)) out.terms.add(terms.display(prefix, one));
  }
  if (type !== 'Identifier' || !isText(value.value)) return;
  for (const one of codings) {
    if (isText(one?.system) && isText(one?.code))
      out.terms.add(terms.ofType(prefix, one.system, one.code, value.value));
  }
}

const emitReference: Emit = (prefix, { type, value }, context, out) => {
  if (isText(value)) {
    if (type === 'canonical') {
      const { url, version } = parseCanonical(value);
      addTarget(prefix, url, context, out);
      if (version !== undefined) out.keys.add(keys.reference(prefix, `${url}|${version}`));
    } else addTarget(prefix, value, context, out);
    return;
  }
  const { reference, identifier } = (value ?? {}) as {
    reference?: unknown;
    identifier?: { system?: unknown; value?: unknown };
  };
  if (isText(reference)) addTarget(prefix, reference, context, out);
  if (isText(identifier?.value)) {
    out.keys.add(keys.token(prefix, identifier.value, isText(identifier.system) ? identifier.system : '', 'i'));
  }
  if (isText(identifier?.system)) out.terms.add(terms.identifierSystem(prefix, identifier.system));
};

function addTarget(prefix: Key, text: string, context: IndexContext, out: Found): void {
  const target = referenceTarget(text, context);
  if (target !== undefined) out.keys.add(keys.reference(prefix, target));
}

const emitUri: Emit = (prefix, { type, value }, _context, out) => {
  if (!isText(value)) return;
  out.keys.add(keys.uri(prefix, value));
  // A profile that is claimed in one version is claimed.
  if (type === 'canonical' && value.includes('|')) out.keys.add(keys.uri(prefix, parseCanonical(value).url));
};

const emitDate: Emit = (prefix, value, context, out) => {
  const range = rangeOf(value, context.timeZone);
  if (range === undefined) return;
  for (const key of keys.date(prefix, range.from, range.to)) out.keys.add(key);
};

const emitNumber: Emit = (prefix, { value }, _context, out) => {
  if (typeof value === 'number') addNumber(prefix, value, {}, out);
  else if (typeof value === 'object' && value !== null) addRange(prefix, value as RangeValue, out);
};

const emitQuantity: Emit = (prefix, { type, value }, _context, out) => {
  if (typeof value === 'number') addNumber(prefix, value, {}, out);
  if (typeof value !== 'object' || value === null) return;
  if (type === 'Range') addRange(prefix, value as RangeValue, out);
  const quantity = (type === 'SampledData' ? (value as { origin?: unknown }).origin : value) as
    | QuantityValue
    | undefined;
  if (typeof quantity?.value === 'number') addNumber(prefix, quantity.value, quantity, out);
};

function addNumber(prefix: Key, value: number, quantity: QuantityValue, out: Found): void {
  for (const key of numberKeys(prefix, value, quantityUnits(quantity))) out.keys.add(key);
  const unit = canonicalUnit(quantity);
  if (unit === undefined) return;
  const canonical = inCanonicalUnit(value, unit);
  out.keys.add(numberKey(codedUnitLists(prefix, unit.system, unit.canonical), canonical));
}

function addRange(prefix: Key, { low, high }: RangeValue, out: Found): void {
  const from = typeof low?.value === 'number' ? low.value : Number.NEGATIVE_INFINITY;
  const to = typeof high?.value === 'number' ? high.value : Number.POSITIVE_INFINITY;
  if (from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY) return;
  const quantity = low ?? high ?? {};
  // A range of one value is that value.
  if (from === to) {
    addNumber(prefix, from, quantity, out);
    return;
  }
  for (const key of numberRangeKeys(numberLists(prefix), from, to, quantityUnits(quantity))) out.keys.add(key);
  const unit = canonicalUnit(quantity);
  if (unit === undefined) return;
  const lists = codedUnitLists(prefix, unit.system, unit.canonical);
  const [lowest, highest] = [inCanonicalUnit(from, unit), inCanonicalUnit(to, unit)];
  for (const key of numberRangeKeys(lists, lowest, highest)) out.keys.add(key);
}

const emitters: Partial<Record<SearchParameter['type'], Emit>> = {
  string: emitString,
  token: emitToken,
  reference: emitReference,
  uri: emitUri,
  date: emitDate,
  number: emitNumber,
  quantity: emitQuantity,
};
