// Search parameters that a client or a package added: SearchParameter resources that are stored, active and name codes
// that R4 does not have. Each is indexed by a job that goes over what is there already; until the job has ended the
// parameter is "building" and cannot be searched by. https://hl7.org/fhir/R4/searchparameter.html
import { limits } from '../base/limits.ts';
import { FhirError, type Issue } from '../base/outcome.ts';
import type { JobHandler } from '../jobs/jobs.ts';
import { type Definitions, type SearchParameter, withSearchParameters } from '../model/definitions.ts';
import { compileExpression, selectedTypes } from '../model/search-accessors.ts';
import type { Store } from '../store/store.ts';
import { everything } from './access.ts';
import type { EngineContext } from './context.ts';
import { reindexType } from './maintenance.ts';
import type { Resource } from './prepare.ts';
import { digest, parameterPrefix } from './search/keys.ts';

export const INDEX_JOB = 'index';
const RECORD = 'search-parameter';
/** Other processes look so often whether something was added; indexing waits until all of them must have seen it. */
const LOOK_MS = 3_000;
const SEEN_MS = 3 * LOOK_MS;

/** What is known of an added parameter besides its resource. */
interface Built {
  /** Of code, types and expression: another one is another list. */
  fingerprint: string;
  types: string[];
}

export interface AddedParameters {
  /** R4's definitions with what was added. */
  readonly definitions: Definitions;
  /** To be called after SearchParameter resources were written. */
  refresh(): Promise<void>;
  /** Begins and ends to look for what other processes added. */
  start(): void;
  stop(): void;
}

export function createAddedParameters(base: Definitions, context: () => EngineContext): AddedParameters {
  let definitions = base;
  let known = '';
  let timer: NodeJS.Timeout | undefined;

  const refresh = async (): Promise<void> => {
    const { store, jobs } = context();
    const added = await storedParameters(base, store);
    const built = await builtParameters(store);
    const state = JSON.stringify([added.map(({ list }) => list), [...built]]);
    if (state === known) return;
    known = state;
    definitions = withSearchParameters(
      base,
      added.map((parameter) => {
        const isBuilt = built.get(parameter.url)?.fingerprint === parameter.list;
        return isBuilt ? parameter : { ...parameter, isBuilding: true };
      }),
    );
    for (const input of openWork(added, built, store)) {
      await jobs.submit(INDEX_JOB, input, `index-${digest(`${input.url} ${input.fingerprint}`, 22)}`);
    }
  };

  return {
    get definitions() {
      return definitions;
    },
    refresh,
    start() {
      timer = setInterval(() => void refresh().catch(() => {}), LOOK_MS);
      timer.unref();
    },
    stop: () => clearInterval(timer),
  };
}

// ---- what is stored ----

/** The parameters that stored resources add, one for each type they are used on. What cannot be used adds nothing. */
async function storedParameters(base: Definitions, store: Store): Promise<SearchParameter[]> {
  const page = await store.search(
    {
      type: 'SearchParameter',
      where: { kind: 'all' },
      order: [{ by: 'lastUpdated', descending: false }],
      limit: limits.addedParametersMax,
      budgetMs: limits.queryBudgetMs,
    },
    everything,
  );
  const added = new Map<string, SearchParameter>();
  for (const row of page.rows) {
    const resource = JSON.parse(Buffer.from(row.body ?? []).toString('utf8')) as Resource;
    for (const parameter of parametersOf(resource, base)) {
      const name = `${parameter.base}.${parameter.code}`;
      if (!added.has(name)) added.set(name, parameter);
    }
  }
  return [...added.values()];
}

function parametersOf(resource: Resource, base: Definitions): SearchParameter[] {
  if (resource.status !== 'active' || parameterIssues(resource, base).length > 0) return [];
  return basesOf(resource, base)
    .filter((type) => !base.searchParameters(type).has(String(resource.code)))
    .map((type) => parameterOn(type, resource));
}

function parameterOn(type: string, resource: Resource): SearchParameter {
  const { code, url, type: kind, expression, target = [] } = resource as unknown as AddedResource;
  return { code, url, type: kind, base: type, expression, targets: target, list: listName(resource) };
}

/** Another expression is another list, so that entries of the old one are never taken for its own. */
const listName = ({ code, type, expression }: Resource): string => `${code} ${digest(`${type} ${expression}`, 8)}`;

interface AddedResource {
  code: string;
  url: string;
  type: SearchParameter['type'];
  expression: string;
  target?: string[];
}

/** The types that a parameter is for; Resource and DomainResource stand for all. */
function basesOf({ base }: Resource, definitions: Definitions): string[] {
  const named = Array.isArray(base) ? base.map(String) : [];
  const isAll = named.includes('Resource') || named.includes('DomainResource');
  return isAll ? [...definitions.resourceTypes] : named.filter((type) => definitions.isResourceType(type));
}

const KINDS: ReadonlySet<unknown> = new Set(['number', 'date', 'string', 'token', 'reference', 'quantity', 'uri']);

/**
 * Why a SearchParameter cannot be used here; empty when it can, or when it is a draft or describes a parameter that R4
 * has anyway. For the write path: an active parameter that would silently not work is refused.
 */
export function parameterIssues(resource: Resource, definitions: Definitions): Issue[] {
  if (resource.status !== 'active') return [];
  const bases = basesOf(resource, definitions);
  const fresh = bases.filter((type) => !definitions.searchParameters(type).has(String(resource.code)));
  if (bases.length > 0 && fresh.length === 0) return [];
  const issues: Issue[] = [];
  const add = (element: string, diagnostics: string): void => {
    issues.push({ severity: 'error', code: 'business-rule', diagnostics, expression: `SearchParameter.${element}` });
  };
  if (bases.length === 0) add('base', 'None of the bases is a resource type of R4.');
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(String(resource.code))) {
    add('code', 'A code has up to 64 letters, digits, "-" and "_", and begins with a letter.');
  }
  if (!KINDS.has(resource.type)) add('type', `Parameters of type ${[...KINDS].join(', ')} can be added.`);
  if (typeof resource.expression !== 'string') add('expression', 'A parameter needs an expression.');
  else {
    const list = listName(resource);
    for (const type of fresh) {
      issues.push(...expressionIssues(type, resource.expression, definitions));
      if (collides(type, list, definitions))
        add('code', 'Another code is needed: the index cannot tell this one apart.');
    }
  }
  return issues.slice(0, 20);
}

function expressionIssues(type: string, expression: string, definitions: Definitions): Issue[] {
  try {
    compileExpression(definitions, type, expression);
    if (selectedTypes(definitions, type, expression).size > 0) return [];
    throw new FhirError('not-supported', `the expression selects nothing in ${type}`);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    return error.issues.map((issue) => ({ ...issue, expression: 'SearchParameter.expression' }));
  }
}

// ---- what is built ----

async function builtParameters(store: Store): Promise<Map<string, Built>> {
  const records = await store.records.list(RECORD, { limit: limits.addedParametersMax });
  return new Map(records.map(({ id, value }) => [id, JSON.parse(value) as Built]));
}

interface IndexInput {
  url: string;
  types: string[];
  /** '' for a parameter that is gone: its entries are taken out of the index. */
  fingerprint: string;
  notBefore: number;
}

/** For each parameter that is new, changed or gone, the types whose rows have to be looked at. */
function openWork(
  added: readonly SearchParameter[],
  built: ReadonlyMap<string, Built>,
  { isShared }: Store,
): IndexInput[] {
  const notBefore = isShared ? Date.now() + SEEN_MS : 0;
  const open = new Map<string, IndexInput>();
  for (const { url, base, list = '' } of added) {
    if (built.get(url)?.fingerprint === list) continue;
    const types = [...(open.get(url)?.types ?? []), base];
    open.set(url, { url, types, fingerprint: list, notBefore });
  }
  const urls = new Set(added.map(({ url }) => url));
  for (const [url, { types }] of built) {
    if (!urls.has(url)) open.set(url, { url, types, fingerprint: '', notBefore });
  }
  return [...open.values()];
}

/** The job that indexes what was there before a parameter was added; it continues where it was interrupted. */
export function indexJob(context: () => EngineContext, refresh: () => Promise<void>): JobHandler {
  return async ({ input, saved, save, signal }) => {
    const { url, types, fingerprint, notBefore } = input as IndexInput;
    await until(notBefore, signal);
    await refresh();
    const from = saved as { at: number; after?: string; changed: number } | undefined;
    let changed = from?.changed ?? 0;
    for (let at = from?.at ?? 0; at < types.length; at++) {
      const after = at === from?.at ? from?.after : undefined;
      for await (const step of reindexType(types[at] ?? '', after, context())) {
        signal.throwIfAborted();
        changed += step.changed;
        await save({ at, after: step.after, changed }, at / types.length);
      }
    }
    await keepBuilt({ url, types, fingerprint }, context().store);
    await refresh();
    return { changed };
  };
}

async function keepBuilt(
  { url, types, fingerprint }: Omit<IndexInput, 'notBefore'>,
  { records }: Store,
): Promise<void> {
  const known = await records.get(RECORD, url);
  if (fingerprint === '') {
    if (known !== undefined) await records.remove(RECORD, url, known.version);
    return;
  }
  const built: Built = { fingerprint, types };
  await records.put({ kind: RECORD, id: url, value: JSON.stringify(built) }, known?.version ?? 0);
}

async function until(instant: number, signal: AbortSignal): Promise<void> {
  const ms = instant - Date.now();
  if (ms <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  signal.throwIfAborted();
}

/** Whether an added parameter's list could be taken for another's: one in some five million. */
function collides(type: string, list: string, definitions: Definitions): boolean {
  const prefix = parameterPrefix(type, list);
  return definitions.resourceTypes.some((one) =>
    [...definitions.searchParameters(one).values()].some(
      (parameter) => parameter.list !== list && parameterPrefix(one, parameter.list ?? parameter.code) === prefix,
    ),
  );
}
