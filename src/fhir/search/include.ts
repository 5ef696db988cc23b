// _include and _revinclude: what the found resources refer to, and what refers to them.
// https://hl7.org/fhir/R4/search.html#revinclude
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { SearchParameter } from '../../model/definitions.ts';
import { parseCanonical } from '../../model/references.ts';
import type { Condition, Filter, Key, Row } from '../../store/store.ts';
import { isShown } from '../access/require.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { keys, parameterPrefix, referencePrefix } from './keys.ts';
import { listsOf, type ParameterList } from './lists.ts';
import type { Include, SearchRequest } from './parse.ts';

type LiveRow = Row & { body: Uint8Array };

/** Prefixes of the references that the includes of a request may follow from resources of a type. */
export function followedPrefixes(type: string, includes: readonly Include[], context: EngineContext): Key[] {
  const prefixes = new Set<Key>();
  for (const include of includes) {
    if (include.source !== '*' && include.source !== type) continue;
    for (const { list } of followedLists(type, include, context)) prefixes.add(referencePrefix(list.prefix));
  }
  return [...prefixes];
}

/** The lists of references that an include follows from resources of a type. */
function followedLists(
  type: string,
  include: Include,
  { definitions }: EngineContext,
): { parameter: SearchParameter; list: ParameterList }[] {
  const parameters = definitions.searchParameters(type);
  const named = parameters.get(include.parameter);
  const asked = include.parameter === '*' ? [...parameters.values()] : named === undefined ? [] : [named];
  return asked
    .filter((parameter) => parameter.type === 'reference')
    .flatMap((parameter) => listsOf(definitions, type, parameter.code).lists.map((list) => ({ parameter, list })));
}

/**
 * The resources to be sent along with a page of matches, none twice and none that is a match itself.
 * FhirError('too-costly') when they are more than a page may carry.
 */
export async function includedRows(
  matches: readonly Row[],
  request: SearchRequest,
  caller: Caller,
  context: EngineContext,
): Promise<LiveRow[]> {
  if (request.includes.length === 0 && request.revincludes.length === 0) return [];
  const expansion = new Expansion(matches, request, caller, context);
  let fresh: readonly Row[] = matches;
  for (let round = 0; round <= limits.iterateRoundsMax && fresh.length > 0; round++)
    fresh = await expansion.round(fresh, round > 0);
  return expansion.found;
}

interface Target {
  type: string;
  id: string;
  /** `url` or `url|version`, in place of an id. */
  canonical?: string;
}

/** The resources of a type that a canonical names. */
function meant(type: string, canonical: string): Condition {
  const { url, version } = parseCanonical(canonical);
  const byUrl: Condition = { kind: 'key', key: keys.uri(parameterPrefix(type, 'url'), url) };
  if (version === undefined) return byUrl;
  const byVersion: Condition = { kind: 'key', key: keys.token(parameterPrefix(type, 'version'), version, undefined) };
  return { kind: 'and', of: [byUrl, byVersion] };
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

class Expansion {
  readonly found: LiveRow[] = [];
  readonly #seen: Set<string>;
  readonly #request: SearchRequest;
  readonly #caller: Caller;
  readonly #context: EngineContext;

  constructor(matches: readonly Row[], request: SearchRequest, caller: Caller, context: EngineContext) {
    this.#seen = new Set(matches.map(({ type, id }) => `${type}/${id}`));
    this.#request = request;
    this.#caller = caller;
    this.#context = context;
  }

  /** Follows references from `rows` once, both ways; what was new. After the first round only `:iterate` goes on. */
  async round(rows: readonly Row[], iterating: boolean): Promise<Row[]> {
    const applies = (include: Include): boolean => !iterating || include.iterate;
    const fresh = await this.#referredTo(rows, this.#request.includes.filter(applies));
    for (const include of this.#request.revincludes.filter(applies))
      fresh.push(...(await this.#referring(rows, include)));
    return fresh;
  }

  async #referredTo(rows: readonly Row[], includes: readonly Include[]): Promise<Row[]> {
    const ids = new Map<string, Set<string>>();
    const canonicals = new Map<string, Map<string, Condition>>();
    for (const include of includes) {
      for (const { type, id, canonical } of rows.flatMap((row) => [...this.#targets(row, include)])) {
        if (canonical !== undefined) entryOf(canonicals, type, () => new Map()).set(canonical, meant(type, canonical));
        else if (!this.#seen.has(`${type}/${id}`)) entryOf(ids, type, () => new Set()).add(id);
      }
    }
    const fresh: Row[] = [];
    for (const type of new Set([...ids.keys(), ...canonicals.keys()])) {
      const of: Condition[] = [...(canonicals.get(type)?.values() ?? [])];
      const named = ids.get(type);
      if (named !== undefined) of.push({ kind: 'ids', ids: [...named] });
      fresh.push(...this.#take(await this.#fetch(type, { kind: 'or', of }, this.#caller.filter)));
    }
    return fresh;
  }

  /** What a row refers to by the references of an include: by type and id, or by canonical, for each type it may be of. */
  *#targets(row: Row, include: Include): Generator<Target> {
    if (include.source !== '*' && include.source !== row.type) return;
    const { definitions } = this.#context;
    for (const { parameter, list } of this.#followed(row.type, include)) {
      const isWanted = (type: string): boolean => (include.target ?? type) === type && (list.target ?? type) === type;
      const prefix = referencePrefix(list.prefix);
      for (const key of row.keys ?? []) {
        if (!key.startsWith(prefix)) continue;
        const target = key.slice(prefix.length);
        const [type = '', id = '', ...more] = target.split('/');
        if (more.length === 0 && definitions.isResourceType(type)) {
          if (isWanted(type)) yield { type, id };
          continue;
        }
        // A canonical with a version has a key without it, too, which would mean every version.
        if (row.keys?.some((other) => other.startsWith(`${key}|`))) continue;
        for (const one of parameter.targets) {
          if (isWanted(one) && definitions.searchParameters(one).has('url'))
            yield { type: one, id: '', canonical: target };
        }
      }
    }
  }

  async #referring(rows: readonly Row[], include: Include): Promise<Row[]> {
    const pointedAt = include.target === undefined ? rows : rows.filter(({ type }) => type === include.target);
    if (pointedAt.length === 0) return [];
    const sources = include.source === '*' ? this.#context.definitions.resourceTypes : [include.source];
    const wheres = sources.map((source) => ({ source, of: this.#pointingAt(pointedAt, source, include) }));
    const keyCount = wheres.reduce((sum, { of }) => sum + of.length, 0);
    if (keyCount > limits.includeKeysMax) throw this.#tooMany();
    const fresh: Row[] = [];
    for (const { source, of } of wheres) {
      if (of.length > 0)
        fresh.push(...this.#take(await this.#fetch(source, { kind: 'or', of }, this.#caller.filters.s)));
    }
    return fresh;
  }

  /** What the caller is not shown leads it nowhere. */
  #followed(type: string, include: Include): ReturnType<typeof followedLists> {
    return followedLists(type, include, this.#context).filter(({ parameter }) =>
      isShown(type, parameter, this.#caller),
    );
  }

  /** A resource of `source` refers to one of the rows by a reference of the include. */
  #pointingAt(rows: readonly Row[], source: string, include: Include): Condition[] {
    return this.#followed(source, include).flatMap(({ parameter, list }) => {
      const prefix = referencePrefix(list.prefix);
      const reachable = rows.filter(
        ({ type }) =>
          (parameter.targets.length === 0 || parameter.targets.includes(type)) && (list.target ?? type) === type,
      );
      return reachable.map(({ type, id }): Condition => ({ kind: 'key', key: `${prefix}${type}/${id}` }));
    });
  }

  /** Following a reference is reading; finding what refers is searching. */
  async #fetch(type: string, where: Condition, filter: Filter): Promise<Row[]> {
    const iterated = [...this.#request.includes, ...this.#request.revincludes].filter(({ iterate }) => iterate);
    const page = await this.#context.store.search(
      {
        type,
        where,
        order: [],
        // Those that are here already are found again.
        limit: limits.includesMax + this.#seen.size + 1,
        keysOf: followedPrefixes(type, iterated, this.#context),
        budgetMs: limits.queryBudgetMs,
      },
      filter,
    );
    if (page.next !== undefined) throw this.#tooMany();
    return page.rows;
  }

  #take(rows: readonly Row[]): Row[] {
    const fresh = rows.filter((row): row is LiveRow => row.body !== null && !this.#seen.has(`${row.type}/${row.id}`));
    for (const row of fresh) this.#seen.add(`${row.type}/${row.id}`);
    this.found.push(...fresh);
    if (this.found.length > limits.includesMax) throw this.#tooMany();
    return fresh;
  }

  #tooMany(): FhirError {
    return new FhirError(
      'too-costly',
      `This page would bring along more than ${limits.includesMax} included resources; ask for fewer with _count or a narrower include.`,
    );
  }
}
