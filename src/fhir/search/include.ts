// _include and _revinclude: what the found resources refer to, and what refers to them.
// https://hl7.org/fhir/R4/search.html#revinclude
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { SearchParameter } from '../../model/definitions.ts';
import type { Condition, Key, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { parameterPrefix, referencePrefix } from './keys.ts';
import type { Include, SearchRequest } from './parse.ts';

type LiveRow = Row & { body: Uint8Array };

/** Prefixes of the references that the includes of a request may follow from resources of a type. */
export function followedPrefixes(type: string, includes: readonly Include[], context: EngineContext): Key[] {
  const prefixes = new Set<Key>();
  for (const include of includes) {
    if (include.source !== '*' && include.source !== type) continue;
    for (const parameter of referencesOf(type, include, context))
      prefixes.add(referencePrefix(parameterPrefix(type, parameter.code)));
  }
  return [...prefixes];
}

function referencesOf(type: string, include: Include, context: EngineContext): SearchParameter[] {
  const all = [...context.definitions.searchParameters(type).values()].filter(
    (parameter) => parameter.type === 'reference',
  );
  return include.parameter === '*' ? all : all.filter(({ code }) => code === include.parameter);
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
    const wanted = new Map<string, string[]>();
    const asked = new Set<string>();
    for (const include of includes) {
      for (const row of rows) {
        for (const target of this.#targets(row, include)) {
          if (this.#seen.has(target) || asked.has(target)) continue;
          asked.add(target);
          const [type = '', id = ''] = target.split('/');
          if (!wanted.has(type)) wanted.set(type, []);
          wanted.get(type)?.push(id);
        }
      }
    }
    if (asked.size > limits.includesMax) throw this.#tooMany();
    const pages = await Promise.all([...wanted].map(([type, ids]) => this.#fetch(type, { kind: 'ids', ids })));
    return pages.flatMap((page) => this.#take(page));
  }

  *#targets(row: Row, include: Include): Generator<string> {
    if (include.source !== '*' && include.source !== row.type) return;
    for (const parameter of referencesOf(row.type, include, this.#context)) {
      const prefix = referencePrefix(parameterPrefix(row.type, parameter.code));
      for (const key of row.keys ?? []) {
        if (!key.startsWith(prefix)) continue;
        const target = key.slice(prefix.length);
        const slash = target.indexOf('/');
        const type = target.slice(0, slash);
        if (slash < 0 || target.includes('/', slash + 1) || !this.#context.definitions.isResourceType(type)) continue;
        if (include.target === undefined || include.target === type) yield target;
      }
    }
  }

  async #referring(rows: readonly Row[], include: Include): Promise<Row[]> {
    const pointedAt = include.target === undefined ? rows : rows.filter(({ type }) => type === include.target);
    if (pointedAt.length === 0) return [];
    const sources = include.source === '*' ? this.#context.definitions.resourceTypes : [include.source];
    const fresh: Row[] = [];
    for (const source of sources) {
      const of: Condition[] = [];
      for (const parameter of referencesOf(source, include, this.#context)) {
        const prefix = referencePrefix(parameterPrefix(source, parameter.code));
        for (const { type, id } of pointedAt) {
          if (parameter.targets.length > 0 && !parameter.targets.includes(type)) continue;
          of.push({ kind: 'key', key: `${prefix}${type}/${id}` });
        }
      }
      if (of.length > 0) fresh.push(...this.#take(await this.#fetch(source, { kind: 'or', of })));
    }
    return fresh;
  }

  async #fetch(type: string, where: Condition): Promise<Row[]> {
    const iterated = [...this.#request.includes, ...this.#request.revincludes].filter(({ iterate }) => iterate);
    const page = await this.#context.store.search(
      {
        type,
        where,
        order: [],
        limit: limits.includesMax + 1,
        keysOf: followedPrefixes(type, iterated, this.#context),
        budgetMs: limits.queryBudgetMs,
      },
      this.#caller.filter,
    );
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
