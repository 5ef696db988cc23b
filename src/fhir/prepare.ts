// A resource as sent → what the store is asked to write: checked, identified, indexed. The one place that a write passes
// through before the commit; full validation belongs here, after the structure check.
import { FhirError } from '../base/outcome.ts';
import type { Turn } from '../base/slices.ts';
import type { Definitions } from '../model/definitions.ts';
import { compactJson, parseJson, withIdAndMeta } from '../model/json.ts';
import type { Commit, Key, Write } from '../store/store.ts';
import { structureIssues } from '../validation/structure.ts';
import type { EngineContext } from './context.ts';
import type { Caller } from './interaction.ts';
import { indexResource } from './search/index-resource.ts';
import { parameterPrefix, referencePrefix } from './search/keys.ts';
import type { IndexContext } from './search/values.ts';
import { parameterIssues } from './search-parameters.ts';

export interface Resource {
  resourceType: string;
  id?: unknown;
  entry?: unknown;
  [member: string]: unknown;
}

/**
 * The resource in a request body, checked for well-formed JSON, its type and its structure.
 * Throws FhirError('invalid') with every problem found. `type`: the one that the URL names.
 */
export function parseResource(bytes: Uint8Array, type: string | undefined, context: EngineContext): Resource {
  if (bytes.length === 0) throw new FhirError('invalid', 'The request has no body; send the resource as JSON.');
  return checkedResource(parseJson(bytes), type, context);
}

/** The same for JSON that is parsed already. */
export function checkedResource(value: unknown, type: string | undefined, context: EngineContext): Resource {
  const issues = structureIssues(withoutStamp(value), context.definitions);
  if (issues.some(({ severity }) => severity === 'error' || severity === 'fatal'))
    throw new FhirError('invalid', issues);
  const resource = value as Resource;
  if (type !== undefined && resource.resourceType !== type) {
    throw new FhirError('invalid', `The URL is for ${type}, but the body is a ${resource.resourceType}.`, {
      expression: resource.resourceType,
    });
  }
  return resource;
}

const STAMP_MEMBERS = ['versionId', '_versionId', 'lastUpdated', '_lastUpdated'] as const;

/**
 * A resource without meta.versionId and meta.lastUpdated: "the server ignores them", and writes its own, so that
 * whatever a client sends there is no reason to refuse. The same value when it has neither.
 */
export function withoutStamp(value: unknown): unknown {
  if (!isObject(value) || !isObject(value.meta)) return value;
  const { meta, ...others } = value;
  if (!STAMP_MEMBERS.some((member) => Object.hasOwn(meta, member))) return value;
  const kept = Object.entries(meta).filter(([member]) => !STAMP_MEMBERS.some((stamp) => stamp === member));
  return kept.length === 0 ? others : { ...others, meta: Object.fromEntries(kept) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The write of a checked resource under an id. `bytes` is its JSON text, `resource` the same as a value.
 * Throws FhirError('unprocessable') for a SearchParameter that could not work.
 */
export function writeOf(
  bytes: Uint8Array,
  resource: Resource,
  id: string,
  context: IndexContext,
  expect?: Write['expect'],
): Write {
  if (resource.resourceType === 'SearchParameter') refuseUnusable(resource, context);
  const { body, stampAt } = withIdAndMeta(compactJson(bytes), { id });
  const write: Write = {
    type: resource.resourceType,
    id,
    body,
    stampAt,
    ...indexResource({ ...resource, id }, context),
    ...(expect === undefined ? {} : { expect }),
  };
  indexedBy.set(write.keys, context.definitions);
  return write;
}

/** An active parameter that would never find anything is refused rather than kept. */
function refuseUnusable(resource: Resource, { definitions }: IndexContext): void {
  const issues = parameterIssues(resource, definitions);
  if (issues.length > 0) throw new FhirError('unprocessable', issues);
}

/** The definitions by which keys were made. */
const indexedBy = new WeakMap<readonly Key[], Definitions>();

/** The same commit, with the keys of a search parameter that was added since its writes were prepared. */
export function withCurrentKeys(commit: Commit, context: IndexContext): Commit {
  const isCurrent = ({ type }: Write, by: Definitions | undefined): boolean =>
    by === undefined ||
    by === context.definitions ||
    by.searchParameters(type) === context.definitions.searchParameters(type);
  if (commit.writes.every((write) => isCurrent(write, indexedBy.get(write.keys)))) return commit;
  const writes = commit.writes.map((write): Write => {
    if (write.body === null || isCurrent(write, indexedBy.get(write.keys))) return write;
    const resource = JSON.parse(Buffer.from(write.body).toString('utf8')) as Resource & { id: string };
    return { ...write, ...indexResource(resource, context) };
  });
  return { ...commit, writes };
}

/** The write that deletes. */
export function deletionOf(type: string, id: string, expect?: number): Write {
  return {
    type,
    id,
    body: null,
    stampAt: 0,
    keys: [],
    terms: [],
    ord: 0,
    owner: `${type}/${id}`,
    ...(expect === undefined ? {} : { expect }),
  };
}

/**
 * Where references are checked: throws FhirError('unprocessable') naming the elements' targets that are neither in the
 * store, visible to the caller, nor among the writes themselves.
 */
export async function requireTargets(
  writes: readonly Write[],
  caller: Caller,
  context: EngineContext,
  turn: Turn = () => undefined,
): Promise<void> {
  if (!context.checkReferences) return;
  const missing = new Map<string, { type: string; id: string }>();
  for (const write of writes) {
    await turn();
    for (const { target, type, id } of localReferences(write, context)) missing.set(target, { type, id });
  }
  for (const write of writes) if (write.body !== null) missing.delete(`${write.type}/${write.id}`);
  const refs = [...missing.values()];
  const rows = await context.store.readMany(refs, caller.filter);
  const absent = refs.filter((_, at) => rows[at] === undefined);
  if (absent.length === 0) return;
  throw new FhirError(
    'unprocessable',
    absent.slice(0, 20).map(({ type, id }) => ({
      severity: 'error' as const,
      code: 'not-found' as const,
      diagnostics: `${type}/${id} is referred to, but there is no such resource here.`,
    })),
  );
}

function* localReferences(
  write: Write,
  context: EngineContext,
): Generator<{ target: string; type: string; id: string }> {
  const prefixes: Key[] = [];
  for (const parameter of context.definitions.searchParameters(write.type).values()) {
    if (parameter.type === 'reference')
      prefixes.push(referencePrefix(parameterPrefix(write.type, parameter.list ?? parameter.code)));
  }
  for (const key of write.keys) {
    if (!prefixes.includes(key.slice(0, 5))) continue;
    const target = key.slice(5);
    const [type = '', id = '', ...more] = target.split('/');
    if (more.length === 0 && id !== '' && context.definitions.isResourceType(type)) yield { target, type, id };
  }
}
