// The search parameters of AuditEvent that the record can answer. https://hl7.org/fhir/R4/auditevent.html#search
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { dateRange } from '../../model/dates.ts';
import type { AuditSearch } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import { pageSize } from '../search/parse.ts';
import { queryPairs, queryString, splitUnescaped } from '../search/query.ts';
import { type Selection, selectionOf } from '../subset.ts';
import type { Rendered } from './audit-event.ts';
import { IDENTIFIER_PARAMETERS, type Identified, identifiedBy } from './audit-identifiers.ts';
import {
  alternatives,
  COMPARED,
  identifierCheck,
  type Matches,
  textCheck,
  tokenCheck,
  unversioned,
} from './audit-matches.ts';

export interface AuditQuestion {
  /** What the record has an index for. */
  search: Pick<AuditSearch, 'patient' | 'agent' | 'from' | 'to'>;
  /** Only these events. */
  ids?: readonly string[];
  /** Decides the rest. */
  matches(rendered: Rendered): boolean;
  descending: boolean;
  count: number;
  /** `_total`: how many there are in all is told for `accurate`, and for `estimate` where it is known. */
  total: 'none' | 'estimate' | 'accurate';
  /** Only how many: `_summary=count` or `_count=0`. */
  isCount: boolean;
  selection: Selection | undefined;
}

/** Codes of the parameters, as the CapabilityStatement names them. */
export const AUDIT_PARAMETERS: ReadonlySet<string> = new Set([
  ...['_id', '_lastUpdated', 'date', 'patient', 'agent', 'entity', 'source'],
  ...COMPARED,
]);

const ACCEPTED = [
  ...[...AUDIT_PARAMETERS, ...IDENTIFIER_PARAMETERS, 'agent:identifier'],
  ...['_count', '_sort', '_total', '_elements', '_summary'],
];

/**
 * Throws FhirError('invalid') for what the record cannot answer, naming what it can. `patient`: of a compartment;
 * `identified`: what the identifiers of the query are of.
 */
export function parseAuditSearch(
  query: string,
  patient: string | undefined,
  context: EngineContext,
  identified: Identified = new Map(),
): AuditQuestion {
  const pairs = queryPairs(query).map(typed);
  if (pairs.length > limits.searchParametersMax)
    throw new FhirError('too-costly', `A search has at most ${limits.searchParametersMax} parameters.`);
  const question: AuditQuestion = {
    search: {},
    matches: (rendered) => checks.every((check) => check(rendered)),
    descending: true,
    count: limits.pageSizeDefault,
    total: 'none',
    isCount: pairs.some(([name, value]) => name === '_summary' && value === 'count'),
    selection: selectionOf('AuditEvent', withoutCount(query), context.definitions),
  };
  const checks: Matches[] = [];
  const patients = patient === undefined ? [] : [[patient]];
  for (const [name, value] of pairs) {
    switch (name) {
      case '_format':
      case '_pretty':
      case '_summary':
      case '_elements':
        break;
      case '_count':
        question.count = pageSize(value);
        question.isCount ||= question.count === 0;
        break;
      case '_total':
        question.total = totalIn(value);
        break;
      case '_sort':
        question.descending = isDescending(value);
        break;
      case '_lastUpdated':
      case 'date':
        checks.push(dateCheck(name, value, question, context));
        break;
      case 'patient':
        patients.push(alternatives(name, value).map((one) => patientIn(one, context)));
        break;
      case 'agent':
        checks.push(
          agentCheck(
            alternatives(name, value).map((one) => referenceIn(one, context)),
            question,
          ),
        );
        break;
      case 'agent:identifier':
        checks.push(clientCheck(alternatives(name, value)));
        break;
      case 'entity':
        checks.push(
          entityCheck(
            alternatives(name, value).map((one) => referenceIn(one, context)),
            patients,
          ),
        );
        break;
      case 'source':
        checks.push(sourceCheck(alternatives(name, value).map((one) => referenceIn(one, context))));
        break;
      case 'patient.identifier':
        patients.push(patientsAmong(identified.get(identifiedBy(name, value)) ?? []));
        break;
      case 'agent.identifier':
      case 'entity.identifier':
      case 'source.identifier':
        checks.push(identifierCheck(name, alternatives(name, value), identified.get(identifiedBy(name, value)) ?? []));
        break;
      case '_id':
        question.ids = question.ids?.filter((id) => alternatives(name, value).includes(id)) ?? [
          ...new Set(alternatives(name, value)),
        ];
        break;
      default:
        checks.push(textCheck(name, value) ?? tokenCheck(name, value) ?? unknownParameter(name));
    }
  }
  for (const ids of patients) {
    const [only, ...more] = ids;
    if (only === undefined) question.ids = [];
    if (more.length === 0 && only !== undefined) question.search.patient ??= only;
    checks.push((rendered) => rendered.patients.some((one) => ids.includes(one)));
  }
  return question;
}

function unknownParameter(name: string): never {
  throw new FhirError(
    'invalid',
    `"${name.slice(0, 40)}" is not a parameter that the audit record can be searched by; accepted: ${ACCEPTED.join(', ')}.`,
  );
}

/** `agent:Practitioner=1` as `agent=Practitioner/1`. */
function typed([name, value]: [string, string]): [string, string] {
  const [, plain, type] = /^(patient|agent|entity|source):([A-Z][A-Za-z]+)$/.exec(name) ?? [];
  if (plain === undefined) return [name, value];
  const ids = splitUnescaped(value, ',').map((one) => (one.includes('/') ? one : `${type}/${one}`));
  return [plain, ids.join(',')];
}

/** `_summary=count` is no selection of elements. */
const withoutCount = (query: string): string =>
  queryString(queryPairs(query).filter(([name, value]) => name !== '_summary' || value !== 'count'));

function totalIn(value: string): AuditQuestion['total'] {
  if (value === 'none' || value === 'estimate' || value === 'accurate') return value;
  throw new FhirError('invalid', '_total takes one of none, estimate, accurate.');
}

function isDescending(value: string): boolean {
  const [, minus, name] = /^(-?)(date|_lastUpdated)$/.exec(value) ?? [];
  if (name === undefined) throw new FhirError('invalid', '_sort of AuditEvents takes date or -date.');
  return minus === '-';
}

const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;

/** Events are recorded at one instant each. A single value narrows what is walked. */
function dateCheck(name: string, value: string, { search }: AuditQuestion, context: EngineContext): Matches {
  const ranges = alternatives(name, value).map((one) => instants(one, context));
  const [only, ...more] = ranges;
  if (only !== undefined && more.length === 0 && !only.isOutside) {
    search.from = Math.max(search.from ?? Number.NEGATIVE_INFINITY, only.from);
    search.to = Math.min(search.to ?? Number.POSITIVE_INFINITY, only.to);
    if (search.from === Number.NEGATIVE_INFINITY) delete search.from;
    if (search.to === Number.POSITIVE_INFINITY) delete search.to;
  }
  return ({ event }) => {
    const at = Date.parse(event.recorded);
    return ranges.some(({ from, to, isOutside }) => (at >= from && at < to) !== isOutside);
  };
}

/** The instants, from ≤ at < to, that a value with its prefix means; or all others. */
function instants(value: string, { timeZone, clock }: EngineContext): { from: number; to: number; isOutside: boolean } {
  const prefix = PREFIXES.find((one) => value.startsWith(one));
  const { from, to } = dateRange(prefix === undefined ? value : value.slice(2), timeZone);
  const isOutside = prefix === 'ne';
  switch (prefix) {
    case 'gt':
    case 'sa':
      return { from: to, to: Number.POSITIVE_INFINITY, isOutside };
    case 'ge':
      return { from, to: Number.POSITIVE_INFINITY, isOutside };
    case 'lt':
    case 'eb':
      return { from: Number.NEGATIVE_INFINITY, to: from, isOutside };
    case 'le':
      return { from: Number.NEGATIVE_INFINITY, to, isOutside };
    case 'ap': {
      // "Approximately": 10 % of the distance from now.
      const slack = Math.abs(clock.now() - from) / 10;
      return { from: from - slack, to: to + slack, isOutside };
    }
    default:
      return { from, to, isOutside };
  }
}

/** The id of a patient: alone, or in a reference. */
function patientIn(value: string, context: EngineContext): string {
  if (/^[A-Za-z0-9\-.]{1,64}$/.test(value)) return value;
  const [type, id = ''] = referenceIn(value, context).split('/');
  if (type !== 'Patient') throw new FhirError('invalid', '"patient" takes an id, or a reference such as Patient/1.');
  return id;
}

/** `Type/id` of a reference, as the record has it. */
function referenceIn(value: string, { baseUrl }: EngineContext): string {
  const relative = value.startsWith(`${baseUrl}/`) ? value.slice(baseUrl.length + 1) : value;
  if (/^[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/.test(relative)) return relative;
  throw new FhirError('invalid', 'A reference to search AuditEvents by is as in Practitioner/1.');
}

function agentCheck(references: readonly string[], { search }: AuditQuestion): Matches {
  const [only, ...more] = references;
  if (only !== undefined && more.length === 0) search.agent ??= only;
  return ({ event }) =>
    event.agent.some(({ who }) => who?.reference !== undefined && references.includes(who.reference));
}

/** Clients, and people who are no resource: known by identifier alone. */
function clientCheck(values: readonly string[]): Matches {
  const ids = values.map((value) => value.slice(value.indexOf('|') + 1));
  return ({ event }) => event.agent.some(({ who }) => ids.includes(who?.identifier?.value ?? ''));
}

/** A patient stands in the record's index; any other resource is looked for in each event. */
function entityCheck(references: readonly string[], patients: string[][]): Matches {
  if (references.every((reference) => reference.startsWith('Patient/')))
    patients.push(references.map((reference) => reference.slice('Patient/'.length)));
  return ({ event: { entity = [] } }) => entity.some((one) => references.includes(unversioned(one)));
}

const sourceCheck =
  (references: readonly string[]): Matches =>
  ({ event }) =>
    references.includes(event.source.observer.reference ?? '');

const patientsAmong = (references: readonly string[]): string[] =>
  references.filter((one) => one.startsWith('Patient/')).map((one) => one.slice('Patient/'.length));
