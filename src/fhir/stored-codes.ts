// Code systems and value sets that are stored here, as the terminology rooms ask for them: through the caller's rights,
// and parsed once a version. https://hl7.org/fhir/R4/terminology-module.html
import { limits } from '../base/limits.ts';
import { parseReference } from '../model/references.ts';
import type { Condition, Store } from '../store/store.ts';
import { type CodeSource, createCodeSource } from '../terminology/code-source.ts';
import type { EngineContext } from './context.ts';
import type { Caller } from './interaction.ts';
import { keys, parameterPrefix } from './search/keys.ts';

interface Kept {
  version: number;
  resource: object;
}

/** Parsed resources by "Type/id": the last ones used. */
const kept = new WeakMap<Store, Map<string, Kept>>();
const KEPT_MAX = 50;

export function storedCodes(caller: Caller, context: EngineContext): CodeSource {
  return createCodeSource(async (type, url, version) => {
    const local = localId(type, url, context);
    if (local !== undefined) {
      const row = await context.store.read(type, local, caller.filter);
      if (row !== undefined && row.body !== null) return parsed(type, local, row.version, caller, context);
    }
    const byUrl: Condition = { kind: 'key', key: keys.uri(parameterPrefix(type, 'url'), url) };
    const byVersion: Condition[] =
      version === undefined
        ? []
        : [{ kind: 'key', key: keys.token(parameterPrefix(type, 'version'), version, undefined) }];
    const page = await context.store.search(
      {
        type,
        where: { kind: 'and', of: [byUrl, ...byVersion] },
        order: [{ by: 'lastUpdated', descending: true }],
        limit: 1,
        bodyless: true,
        budgetMs: limits.queryBudgetMs,
      },
      caller.filters.s,
    );
    const [row] = page.rows;
    return row === undefined ? undefined : parsed(type, row.id, row.version, caller, context);
  });
}

/** "If the server can treat the reference as a literal URL, it does": the id in `ValueSet/1` or a URL of this server. */
function localId(type: string, url: string, { baseUrl, definitions }: EngineContext): string | undefined {
  const reference = parseReference(url, baseUrl, (name) => definitions.isResourceType(name));
  return reference.kind === 'relative' && reference.type === type ? reference.id : undefined;
}

async function parsed(
  type: string,
  id: string,
  version: number,
  caller: Caller,
  { store }: EngineContext,
): Promise<object | undefined> {
  let known = kept.get(store);
  if (known === undefined) {
    known = new Map();
    kept.set(store, known);
  }
  const name = `${type}/${id}`;
  const found = known.get(name);
  known.delete(name);
  if (found?.version === version) {
    known.set(name, found);
    return found.resource;
  }
  const row = await store.read(type, id, caller.filter);
  if (row?.body === undefined || row.body === null) return undefined;
  const resource = JSON.parse(Buffer.from(row.body).toString('utf8')) as object;
  known.set(name, { version: row.version, resource });
  for (const oldest of known.keys()) {
    if (known.size <= KEPT_MAX) break;
    known.delete(oldest);
  }
  return resource;
}
