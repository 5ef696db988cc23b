// Performs a query, one round after another: a round goes through everything that is in memory; what has to be read for
// it to go on is read together before the next. Fifty references are one read, not fifty.
import {
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLResolveInfo,
  isInterfaceType,
  isObjectType,
} from 'graphql';
import { FhirError } from '../../../base/outcome.ts';
import { type Content, isContent, isResource, type Resource } from './content.ts';
import { located } from './errors.ts';
import { inTurns } from './in-turns.ts';
import type { Source } from './lazy-type.ts';
import type { Loader, ResourceKey } from './loader.ts';
import { havingParts, listOf, paged, wholeNumber } from './navigation.ts';
import type { Paths } from './paths.ts';
import type { Planner, Selections, Step } from './planner.ts';
import { referenceTarget, unresolved } from './reference.ts';
import type { FhirSchema } from './schema.ts';
import { searchQuery } from './search-arguments.ts';
import { connection, listMatches, type SearchContext } from './searches.ts';
import { Branch, type Found } from './tree.ts';

/** An object that steps are taken on. */
interface Focus {
  value: Content;
  type: GraphQLObjectType;
  /** The resource around it, in which `#id` is looked for. */
  around: Resource;
  /** A resource of this server, not one within another. */
  isStored: boolean;
}

export interface ResolverParts {
  schema: FhirSchema;
  planner: Planner;
  loader: Loader;
  paths: Paths;
  search: SearchContext;
}

/** A search, or FHIRPath on values, and what is done with the matches afterwards. */
type Search = () => Promise<() => void>;

/** Searches under way at once. */
const SEARCHES_AT_ONCE = 8;

/** Around what is in no resource: the query itself, connections, the schema. */
const nowhere: Resource = { resourceType: '' };

export class Resolver {
  readonly #parts: ResolverParts;
  #reads: { key: ResourceKey; finish: (resource: Resource | undefined) => void }[] = [];
  #searches: Search[] = [];

  constructor(parts: ResolverParts) {
    this.#parts = parts;
  }

  /** What the selections find on a resource, or on the whole server. Throws FhirError with the place in the query. */
  async resolve(selections: Selections, resource: Resource | undefined): Promise<Branch> {
    const type = this.#parts.schema.getQueryType();
    const focus: Focus = { value: resource ?? {}, type, around: resource ?? nowhere, isStored: true };
    const branch = this.#branch(selections, focus, false);
    while (this.#reads.length > 0 || this.#searches.length > 0) await this.#round();
    return branch;
  }

  async #round(): Promise<void> {
    const { loader, search } = this.#parts;
    const [reads, searches] = [this.#reads, this.#searches];
    this.#reads = [];
    this.#searches = [];
    search.budget.time();
    await loader.load(reads.map(({ key }) => key));
    const finishes = await inTurns(searches, SEARCHES_AT_ONCE);
    for (const { key, finish } of reads) finish(loader.get(key));
    for (const finish of finishes) finish();
  }

  /** `isAny`: the selections were written for any type of resource. */
  #branch(selections: Selections, focus: Focus, isAny: boolean): Branch {
    const branch = new Branch();
    for (const step of this.#parts.planner.steps(selections, focus.type, isAny)) {
      const found: Found = { step, values: [] };
      branch.found.push(found);
      located(step.node, () => this.#find(found, focus));
    }
    return branch;
  }

  #find(found: Found, focus: Focus): void {
    const { source, field } = found.step;
    if (source === undefined) {
      if (field.name === '__typename') this.#put(found, [focus.type.name], focus);
      else this.#introspect(found, focus);
      return;
    }
    switch (source.kind) {
      case 'resourceType':
        this.#put(found, [focus.type.name], focus);
        break;
      case 'property':
        this.#put(found, listOf(focus.value[field.name]), focus);
        break;
      case 'sibling':
        this.#put(found, listOf(focus.value[`_${source.name}`]), focus);
        break;
      case 'element':
        this.#element(found, source, focus);
        break;
      case 'reference':
        this.#reference(found, focus);
        break;
      case 'read':
        this.#read(found, { type: source.type, id: String(found.step.args.id) }, false);
        break;
      case 'list':
      case 'connection':
        this.#search(found, source, focus);
        break;
    }
  }

  // ---- values ----

  #element(found: Found, { name, type }: Extract<Source, { kind: 'element' }>, focus: Focus): void {
    const { args, node } = found.step;
    const { fhirpath } = args;
    const values = havingParts(listOf(focus.value[name]), args);
    if (typeof fhirpath !== 'string') {
      this.#put(found, paged(values, args), focus);
      return;
    }
    this.#searches.push(() =>
      located(node, async () => {
        const flags = await this.#parts.paths.holds(fhirpath, values, { type, around: focus.around });
        const kept = paged(
          values.filter((_, at) => flags[at]),
          args,
        );
        return () => this.#put(found, kept, focus);
      }),
    );
  }

  /** Values that are there; for each object the steps below. */
  #put(found: Found, values: readonly unknown[], focus: Focus): void {
    const { step } = found;
    const kept = step.isFirst ? values.slice(0, 1) : values;
    found.values = kept.map((value) => this.#valueOf(step, value, focus));
    if (step.slicePath !== undefined) this.#slice(found, step.slicePath, kept, focus);
  }

  #valueOf({ selections, source, type }: Step, value: unknown, focus: Focus): unknown {
    this.#parts.search.budget.value(value);
    if (selections.length === 0) return value;
    if (!isContent(value)) return null;
    const isStored = source?.kind !== 'element';
    const isAny = isInterfaceType(type);
    // Not every object with a resourceType is a resource: ExampleScenario.instance has one, too.
    if (isAny || this.#parts.schema.types.definitions.isResourceType(type.name)) {
      const isContained = source?.kind === 'element' && source.name === 'contained';
      if (!isResource(value)) return null;
      return this.#resource(selections, value, { isAny, isStored, around: isContained ? focus.around : value });
    }
    return this.#branch(selections, { value, type: type as GraphQLObjectType, around: focus.around, isStored }, false);
  }

  /** Steps on a resource, whose type it says itself. */
  #resource(
    selections: Selections,
    value: Resource,
    { isAny, isStored, around }: { isAny: boolean; isStored: boolean; around: Resource },
  ): Branch | null {
    const { types } = this.#parts.schema;
    if (!types.definitions.isResourceType(value.resourceType)) return null;
    return this.#branch(selections, { value, type: types.object(value.resourceType), around, isStored }, isAny);
  }

  #slice(found: Found, path: string, values: readonly unknown[], { around }: Focus): void {
    const { source, node } = found.step;
    if (path === '$index') {
      found.slices = values.map((_value, at) => String(at));
      return;
    }
    const type = source?.kind === 'element' ? source.type : 'Resource';
    this.#searches.push(() =>
      located(node, async () => {
        const texts = await this.#parts.paths.texts(path, values, { type, around });
        return () => {
          found.slices = texts;
        };
      }),
    );
  }

  /** GraphQL's own fields tell about the schema by themselves. */
  #introspect(found: Found, { value }: Focus): void {
    const { schema, search } = this.#parts;
    const { field, args, isList, selections, type } = found.step;
    if (field.name === 'fields') search.budget.typeListed();
    const told = introspected(field, value, args, schema);
    const values = isList
      ? (told as unknown[] | null | undefined)
      : told === undefined || told === null
        ? told
        : [told];
    found.values =
      values?.map((one) => {
        search.budget.value(one);
        if (!isObjectType(type)) return one;
        return this.#branch(selections, { value: one as Content, type, around: nowhere, isStored: false }, false);
      }) ?? null;
  }

  // ---- references ----

  #reference(found: Found, { value, around }: Focus): void {
    const { type: wanted, optional } = found.step.args;
    const { definitions, baseUrl } = this.#parts.search.context;
    const target = referenceTarget(value, wanted, around, { definitions, baseUrl });
    switch (target.kind) {
      case 'contained': {
        const { resource } = target;
        found.values = [this.#resource(found.step.selections, resource, { isAny: true, isStored: false, around })];
        return;
      }
      case 'stored':
        this.#read(found, target.key, optional === true);
        break;
      case 'unresolved':
        if (optional !== true) throw unresolved(target.reference);
    }
  }

  #read(found: Found, key: ResourceKey, isOptional: boolean): void {
    const { step } = found;
    const finish = (resource: Resource | undefined): void => {
      const isAny = isInterfaceType(step.type);
      if (resource !== undefined) {
        this.#parts.search.budget.value(undefined);
        found.values = [this.#resource(step.selections, resource, { isAny, isStored: true, around: resource })];
      } else if (!isOptional)
        located(step.node, () => {
          throw unresolved(`${key.type}/${key.id}`);
        });
    };
    this.#reads.push({ key, finish });
  }

  // ---- searches ----

  #search(found: Found, source: Extract<Source, { kind: 'list' | 'connection' }>, focus: Focus): void {
    const { kind, type, isReverse } = source;
    if (isReverse && !focus.isStored) {
      throw new FhirError(
        'invalid',
        'A resource within another is not referred to by others; _reference needs one of its own.',
      );
    }
    const target = isReverse ? { type: focus.type.name, id: String(focus.value.id) } : undefined;
    const query = searchQuery(type, found.step.args, target, this.#parts.schema.types.definitions);
    const search = kind === 'list' ? this.#list(found, type, query) : this.#connection(found, type, query);
    this.#searches.push(() => located(found.step.node, search));
  }

  #list(found: Found, type: string, query: string): Search {
    const { step } = found;
    const count = wholeNumber('_count', step.args._count);
    return async () => {
      const matches = await listMatches(type, query, count, this.#parts.search);
      for (const match of matches) this.#parts.loader.add(match);
      const kept = await this.#held(step, matches);
      return () => this.#put(found, kept, this.#outside());
    };
  }

  #connection(found: Found, type: string, query: string): Search {
    const { step } = found;
    const count = wholeNumber('_count', step.args._count);
    const { _cursor: cursor } = step.args;
    if (typeof cursor === 'string' && (query !== '' || count !== undefined)) {
      throw new FhirError('invalid', '_cursor stands alone: the search that it belongs to cannot be changed.');
    }
    const below = this.#parts.planner.steps(step.selections, step.type as GraphQLObjectType, false);
    const wanted = new Set(below.map(({ field }) => field.name));
    return async () => {
      const page = await connection(
        type,
        typeof cursor === 'string' ? { cursor } : { query, count },
        wanted,
        this.#parts.search,
      );
      for (const { resource } of page.edges) this.#parts.loader.add(resource);
      const kept = new Set(
        await this.#held(
          step,
          page.edges.map(({ resource }) => resource),
        ),
      );
      const edges = page.edges.filter(({ resource }) => kept.has(resource));
      return () => this.#put(found, [{ ...page, edges }], this.#outside());
    };
  }

  #outside(): Focus {
    return { value: {}, type: this.#parts.schema.getQueryType(), around: nowhere, isStored: false };
  }

  async #held(step: Step, resources: readonly Resource[]): Promise<readonly Resource[]> {
    const { fhirpath } = step.args;
    if (typeof fhirpath !== 'string') return resources;
    const flags = await this.#parts.paths.holds(fhirpath, resources, { type: 'Resource' });
    return resources.filter((_, at) => flags[at]);
  }
}

function introspected(
  { name, resolve }: GraphQLField<unknown, unknown>,
  value: Content,
  args: Readonly<Record<string, unknown>>,
  schema: FhirSchema,
): unknown {
  return resolve === undefined
    ? value[name]
    : resolve(value, args, undefined, { schema } as unknown as GraphQLResolveInfo);
}
