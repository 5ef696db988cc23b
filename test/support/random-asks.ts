// Made-up requests from a seed, of every interaction and operation that shows resources or decides by what is there.
import type { Permission } from '../../src/fhir/caller.ts';
import type { Definitions } from '../../src/model/definitions.ts';
import { queryOf } from './criteria-query.ts';
import { type MadeSearch, SearchMaker } from './random-criteria.ts';
import { randomRecord, recordTypes } from './random-records.ts';
import { below, pick, type Random } from './random-search.ts';
import { CODES, chance, madeIds, some } from './random-values.ts';
import type { SlowSearch } from './slow-search.ts';

export interface Ask {
  kind: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** The permissions that decide on what it shows: one alone, or both. */
  by: 'r' | 's' | 'rs';
  /** Looks at what was there at some time. */
  isPast?: true;
  /** A rehearsed write: what it would write, under which id, and what permission that takes of what is there. */
  write?: {
    type: string;
    id?: string;
    content?: Record<string, unknown>;
    permission: Permission;
    isConditional: boolean;
  };
}

const DRY = { Prefer: 'dry-run' };

export class AskMaker {
  readonly #random: Random;
  readonly #slow: SlowSearch;
  readonly #definitions: Definitions;
  readonly #searches: SearchMaker;
  readonly #now: () => number;

  constructor(random: Random, slow: SlowSearch, definitions: Definitions, now: () => number) {
    this.#random = random;
    this.#slow = slow;
    this.#definitions = definitions;
    this.#searches = new SearchMaker(random, slow, definitions);
    this.#now = now;
  }

  ask(): Ask {
    const random = this.#random;
    const kind = random();
    if (kind < 0.16) return this.#read();
    if (kind < 0.23) return this.#history();
    if (kind < 0.62) return this.#search();
    if (kind < 0.68) return this.#compartment();
    if (kind < 0.72) return this.#system();
    if (kind < 0.8) return this.#operation();
    if (kind < 0.83) return this.#bundle();
    if (kind < 0.86) return this.#past();
    if (kind < 0.93) return this.#conditionalWrite();
    return this.#plainWrite();
  }

  /** Binaries are decided on by rules of their own. */
  #type(): string {
    return chance(this.#random, 0.15) ? 'Binary' : pick(this.#random, recordTypes);
  }

  // ---- reading ----

  #read(): Ask {
    const random = this.#random;
    const url = `${this.#type()}/${pick(random, madeIds)}`;
    if (chance(random, 0.3))
      return { kind: 'vread', method: 'GET', url: `${url}/_history/${1 + below(random, 5)}`, by: 'r' };
    if (chance(random, 0.1)) return { kind: 'read part', method: 'GET', url: `${url}?_summary=true`, by: 'r' };
    return { kind: 'read', method: 'GET', url, by: 'r' };
  }

  #history(): Ask {
    const random = this.#random;
    const [type, id] = [this.#type(), pick(random, madeIds)];
    const count = chance(random, 0.5) ? `?_count=${1 + below(random, 4)}` : '';
    switch (below(random, 4)) {
      case 0:
        return { kind: 'history-type', method: 'GET', url: `${type}/_history${count}`, by: 's' };
      case 1:
        return { kind: 'history-system', method: 'GET', url: `_history?_count=${30 + below(random, 300)}`, by: 's' };
      default:
        return { kind: 'history-instance', method: 'GET', url: `${type}/${id}/_history${count}`, by: 'r' };
    }
  }

  /** At an instant of the past. */
  #past(): Ask {
    const random = this.#random;
    const instant = new Date(this.#now() - below(random, 40) * 600_000).toISOString();
    const [type, id] = [pick(random, recordTypes), pick(random, madeIds)];
    const past = { method: 'GET', isPast: true } as const;
    switch (below(random, 3)) {
      case 0:
        return { ...past, kind: 'read _asOf', url: `${type}/${id}?_asOf=${instant}`, by: 'r' };
      case 1:
        return { ...past, kind: 'history _at', url: `${type}/_history?_at=${instant}`, by: 's' };
      default: {
        const made = this.#searches.search([this.#now() - below(random, 40) * 600_000]);
        const { type: searched, criteria, asOf = Date.parse(instant) } = made;
        const parts = asOf === made.asOf ? criteria.map(queryOf) : [];
        parts.push(`_asOf=${new Date(asOf).toISOString()}`);
        const by = parts.some(readsOthers) ? 'rs' : 's';
        return { ...past, kind: 'search _asOf', url: `${searched}?${parts.join('&')}`, by };
      }
    }
  }

  // ---- searching ----

  #search(): Ask {
    const random = this.#random;
    if (chance(random, 0.04)) {
      const contained = pick(random, ['true', 'both', 'true&_containedType=container']);
      const count = pick(random, ['', '&_count=2', '&_summary=count']);
      const url = `Patient?gender=male&_contained=${contained}${count}`;
      return { kind: 'search _contained', method: 'GET', url, by: 'rs' };
    }
    const made = this.#searches.search([]);
    const isFurther = chance(random, 0.25);
    const type = isFurther ? this.#type() : made.type;
    const parts = isFurther ? this.#furtherCriteria(type) : made.criteria.map(queryOf);
    if (!isFurther) parts.push(...sortPart(made));
    const includes = chance(random, 0.35) ? this.#includes(type) : [];
    parts.push(...includes, ...this.#results());
    const kind = includes.length > 0 ? 'search with includes' : `search${kindOf(parts)}`;
    const url = parts.length === 0 ? type : `${type}?${parts.join('&')}`;
    return { kind, method: 'GET', url, by: includes.length > 0 || parts.some(readsOthers) ? 'rs' : 's' };
  }

  #results(): string[] {
    const random = this.#random;
    switch (below(random, 8)) {
      case 0:
        return ['_total=accurate', `_count=${1 + below(random, 4)}`];
      case 1:
        return ['_summary=count'];
      case 2:
      case 3:
        return [`_count=${1 + below(random, 5)}`];
      case 4:
        return ['_elements=identifier'];
      default:
        return ['_count=200'];
    }
  }

  #includes(type: string): string[] {
    const random = this.#random;
    return some(random, 2, () => {
      const iterate = chance(random, 0.3) ? ':iterate' : '';
      const kind = random();
      if (kind < 0.1) return `_include${iterate}=*`;
      if (kind < 0.15) return `_revinclude=*`;
      if (kind < 0.5) {
        const source = iterate !== '' && chance(random, 0.5) ? pick(random, recordTypes) : type;
        const code = this.#reference(source);
        return code === undefined ? `_include=${type}:*` : `_include${iterate}=${source}:${code}`;
      }
      const source = pick(random, recordTypes);
      return `_revinclude${iterate}=${source}:${this.#reference(source) ?? '*'}`;
    });
  }

  #reference(type: string): string | undefined {
    const all = [...this.#definitions.searchParameters(type).values()]
      .filter((parameter) => parameter.type === 'reference' && parameter.expression !== '')
      .map(({ code }) => code);
    return all.length === 0 ? undefined : pick(this.#random, all);
  }

  /** Where rights are likeliest to be gone around. */
  #furtherCriteria(type: string): string[] {
    const random = this.#random;
    const patient = pick(random, madeIds);
    const code = pick(random, CODES);
    const own = [...this.#definitions.searchParameters(type).keys()];
    const common = ['_security=R', '_security:not=HIV', '_lastUpdated=ge2024-01-01', `_id=${madeIds.join(',')}`];
    if (own.includes('patient')) {
      common.push(
        `patient=${patient}`,
        `patient:missing=true`,
        `patient.gender=male`,
        `patient._id=${patient}`,
        `patient._has:Observation:patient:code=${encodeURIComponent(code)}`,
        `patient.general-practitioner=Practitioner/${patient}`,
        `patient._security:not=R`,
        '_sort=patient.family',
        '_sort=-patient.birthdate',
        '_filter=not%20(patient.gender%20eq%20male)',
      );
    }
    if (type === 'Patient') {
      common.push(
        `_has:Observation:patient:_security=R`,
        `_has:Condition:subject:code=${encodeURIComponent(code)}`,
        `_has:Encounter:subject:participant=Practitioner/${patient}`,
        `_has:CareTeam:patient:status=active`,
        `_has:Observation:subject:_has:Provenance:target:agent=Practitioner/${patient}`,
        `_has:AuditEvent:patient:_id=${madeIds.join(',')}`,
        `link._id=${patient}`,
        `general-practitioner.name=a`,
        '_sort=organization.name',
        `_list=${patient}`,
      );
    }
    return some(random, 2, () => pick(random, common));
  }

  #compartment(): Ask {
    const random = this.#random;
    const [compartment, id] = [
      pick(random, ['Patient', 'Patient', 'Practitioner', 'Encounter']),
      pick(random, madeIds),
    ];
    const type = chance(random, 0.3) ? '*' : pick(random, recordTypes);
    const parts = chance(random, 0.4) ? this.#results() : [];
    const url = `${compartment}/${id}/${type}${parts.length === 0 ? '' : `?${parts.join('&')}`}`;
    return { kind: 'search-compartment', method: 'GET', url, by: 's' };
  }

  #system(): Ask {
    const random = this.#random;
    const types = [...new Set(some(random, 4, () => pick(random, recordTypes)))];
    const parts = [`_type=${types}`, ...this.#results().filter((part) => !part.startsWith('_elements'))];
    if (chance(random, 0.3)) parts.push(`_id=${some(random, 5, () => pick(random, madeIds))}`);
    if (chance(random, 0.3)) parts.push(`_sort=${pick(random, ['', '-'])}_lastUpdated`);
    return { kind: 'search-system', method: 'GET', url: `?${parts.join('&')}`, by: 's' };
  }

  // ---- operations and bundles ----

  #operation(): Ask {
    const random = this.#random;
    const id = pick(random, madeIds);
    const get = (kind: string, url: string): Ask => ({ kind, method: 'GET', url, by: 'rs' });
    switch (below(random, 9)) {
      case 0:
        return get('$everything', `Patient/${id}/$everything${pick(random, ['', '?_count=3', '?_type=Observation'])}`);
      case 1:
        return get('$everything of all', `Patient/$everything?_count=${40 + below(random, 100)}`);
      case 2:
        return get('$everything', `${pick(random, ['Encounter', 'Practitioner', 'Group'])}/${id}/$everything`);
      case 3:
        return get('$lastn', `Observation/$lastn?${pick(random, [`patient=${id}`, `patient=${id}&max=2`])}`);
      case 4:
        return get(
          '$stats',
          `Observation/$stats?subject=Patient/${id}&code=${pick(random, ['a', 'b', '1234-5'])}&statistic=count,average`,
        );
      case 5:
        return get('$meta', pick(random, ['$meta', `${pick(random, recordTypes)}/$meta`, `Observation/${id}/$meta`]));
      case 6:
        return get('$why-not', `Observation/$why-not?resource=Observation/${id}&patient.gender=male`);
      case 7:
        return this.#view();
      default:
        return this.#graphql(id);
    }
  }

  #view(): Ask {
    const type = pick(this.#random, ['Observation', 'Encounter', 'Condition', 'Patient']);
    const column = [
      { name: 'id', path: 'id' },
      { name: 'notes', path: type === 'Encounter' ? 'reasonCode.count()' : 'text.count()' },
    ];
    const view = { resourceType: 'ViewDefinition', resource: type, status: 'active', select: [{ column }] };
    const parameter = [
      { name: 'viewResource', resource: view },
      { name: '_format', valueCode: 'json' },
    ];
    return {
      kind: '$viewdefinition-run',
      method: 'POST',
      url: '$viewdefinition-run',
      body: { resourceType: 'Parameters', parameter },
      by: 's',
    };
  }

  #graphql(id: string): Ask {
    const query = pick(this.#random, [
      `{ Patient(id: "${id}") { id gender generalPractitioner { resource { ... on Practitioner { id } } } } }`,
      `{ ObservationList(patient: "${id}") { id status subject { resource { ... on Patient { id } } } } }`,
      `{ Encounter(id: "${id}") { id reasonCode { text } subject { resource { ... on Patient { id gender } } } } }`,
      `{ ConditionConnection(_count: 2) { count edges { resource { id subject { reference } note { text } } } } }`,
      `{ Patient(id: "${id}") { id ObservationList(_reference: patient) { id } } }`,
    ]);
    return {
      kind: '$graphql',
      method: 'POST',
      url: '$graphql',
      body: { query },
      headers: { 'Content-Type': 'application/json' },
      by: 'rs',
    };
  }

  #bundle(): Ask {
    const type = pick(this.#random, ['batch', 'transaction']);
    const entry = some(this.#random, 3, () => {
      const { url } = pick(this.#random, [() => this.#read(), () => this.#compartment(), () => this.#search()])();
      return { request: { method: 'GET', url } };
    });
    return { kind: type, method: 'POST', url: '', body: { resourceType: 'Bundle', type, entry }, by: 'rs' };
  }

  // ---- rehearsed writes ----

  #conditionalWrite(): Ask {
    const random = this.#random;
    const type = pick(random, recordTypes);
    const condition = this.#condition(type);
    const content = randomRecord(random, type, pick(random, madeIds), this.#now());
    const { id: _, ...idless } = content;
    const write = { type, content: idless, isConditional: true };
    switch (below(random, 4)) {
      case 0:
        return {
          kind: 'conditional create',
          method: 'POST',
          url: type,
          body: idless,
          headers: { ...DRY, 'If-None-Exist': condition },
          by: 'rs',
          write: { ...write, permission: 'c' },
        };
      case 1:
        return {
          kind: 'conditional update',
          method: 'PUT',
          url: `${type}?${condition}`,
          body: idless,
          headers: DRY,
          by: 'rs',
          write: { ...write, permission: 'u' },
        };
      case 2: {
        const kind = 'conditional delete';
        const url = `${type}?${condition}`;
        return {
          kind,
          method: 'DELETE',
          url,
          headers: DRY,
          by: 'rs',
          write: { type, permission: 'd', isConditional: true },
        };
      }
      default: {
        const kind = 'delete of many';
        const url = `${type}?${condition}&_count=5`;
        return {
          kind,
          method: 'DELETE',
          url,
          headers: DRY,
          by: 'rs',
          write: { type, permission: 'd', isConditional: true },
        };
      }
    }
  }

  #condition(type: string): string {
    const random = this.#random;
    const ids = `_id=${some(random, 2, () => pick(random, madeIds))}`;
    if (chance(random, 0.4)) return ids;
    const { type: searched, criteria } = this.#searches.search([]);
    const parts =
      searched === type
        ? criteria.map(queryOf)
        : this.#furtherCriteria(type).filter((part) => !part.startsWith('_sort'));
    return parts.length === 0 ? ids : parts.join('&');
  }

  #plainWrite(): Ask {
    const random = this.#random;
    const [type, id] = [this.#type(), pick(random, madeIds)];
    const kept = this.#slow.resources.get(`${type}/${id}`);
    const made = randomRecord(random, type, id, this.#now());
    // What stands there but for a detail stays within reach; anything else may not.
    const content = kept !== undefined && chance(random, 0.5) ? { ...kept, meta: made.meta ?? kept.meta } : made;
    const write = { type, id, isConditional: false };
    if (chance(random, 0.3))
      return {
        kind: 'delete',
        method: 'DELETE',
        url: `${type}/${id}`,
        headers: DRY,
        by: 'rs',
        write: { ...write, permission: 'd' },
      };
    if (chance(random, 0.3)) {
      const { id: _, ...idless } = content;
      const create = { type, content: idless, permission: 'c', isConditional: false } as const;
      return { kind: 'create', method: 'POST', url: type, body: idless, headers: DRY, by: 'rs', write: create };
    }
    const headers = { ...DRY, ...(chance(random, 0.15) ? { 'If-None-Match': '*' } : {}) };
    return {
      kind: 'update',
      method: 'PUT',
      url: `${type}/${id}`,
      body: content,
      headers,
      by: 'rs',
      write: { ...write, content, permission: 'u' },
    };
  }
}

/** Lists, value sets and code systems that a criterion names are read. */
const readsOthers = (part: string): boolean => /_list|_filter|:(not-)?in=|:above=|:below=/.test(part);

const sortPart = ({ sort }: MadeSearch): string[] =>
  sort.length === 0
    ? []
    : [
        `_sort=${sort.map((order) => {
          const name = 'chain' in order ? `${order.chain.code}:${order.chain.target}.${order.chain.next}` : order.code;
          return `${order.descending ? '-' : ''}${name}`;
        })}`,
      ];

function kindOf(parts: readonly string[]): string {
  const text = parts.join('&');
  if (text.includes('_has:')) return ' with _has';
  if (/_sort=[^&]*\./.test(text)) return ' sorted by a chain';
  if (/[a-z](:[A-Z][A-Za-z]+)?\.[a-z_]/.test(text)) return ' with a chain';
  if (text.includes('_filter')) return ' with _filter';
  if (text.includes('_list')) return ' with _list';
  if (/_(text|content)=/.test(text)) return ' with words';
  return '';
}
