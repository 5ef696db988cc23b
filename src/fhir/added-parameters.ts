// Search parameters that a client or a package added: SearchParameter resources that are stored, active and name codes
// that R4 does not have. Until the rows that were there before are indexed, one is "building" and cannot be searched by.
// https://hl7.org/fhir/R4/searchparameter.html
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { type Definitions, type SearchParameter, withSearchParameters } from '../model/definitions.ts';
import { stamped } from '../store/stamp.ts';
import type { Commit, Row, Write } from '../store/store.ts';
import { everything } from './access/callers.ts';
import type { EngineContext } from './context.ts';
import {
  hasOpen,
  INDEX_JOB,
  type Indexed,
  type KeptStates,
  nextState,
  readStates,
  type Wanted,
  writeStates,
} from './parameter-index.ts';
import { type Resource, withCurrentKeys } from './prepare.ts';
import { compileCriteria } from './search/compile.ts';
import { parseSearch } from './search/parse.ts';
import { parametersOf } from './search-parameters.ts';

/** Other processes look so often whether something was added. */
const LOOK_MS = 3_000;
/** A process that did not look for so many looks does so before it writes. */
const STALE_LOOKS = 2;
/** Indexing begins so many looks after a parameter was added: then every process has seen it, and finished what it had begun to write before. */
const SEEN_LOOKS = 4;
/** Another process may write the same record at the same time; it does so once for each change. */
const TRIES_MAX = 20;

export interface AddedParameters extends Indexed {
  /** R4's definitions with what was added. */
  readonly definitions: Definitions;
  /** For the job: see indexJob. */
  readonly seenMs: number;
  /**
   * A commit as it should be: its keys made by the definitions of now, which may have changed since it was prepared.
   * Throws FhirError('too-costly') for one search parameter too many.
   */
  ready(commit: Commit): Promise<Commit>;
  /** To be told of what was committed. */
  committed(writes: readonly Write[]): Promise<void>;
  /** Begins and ends to look for what other processes added. */
  start(): void;
  stop(): Promise<void>;
}

export interface AddedOptions {
  /** R4's definitions. */
  base: Definitions;
  context: () => EngineContext;
  lookMs?: number | undefined;
  onFault: (error: unknown, kind: string) => void;
}

/** The parameters of one version of a SearchParameter resource. */
interface Source {
  version: number;
  parameters: readonly SearchParameter[];
}

export function createAddedParameters({ base, context, lookMs = LOOK_MS, onFault }: AddedOptions): AddedParameters {
  let definitions = base;
  let sources: ReadonlyMap<string, Source> = new Map();
  let states: KeptStates = new Map();
  let lookedAt = Number.NEGATIVE_INFINITY;
  let seen = '';
  let isDue = false;
  let timer: NodeJS.Timeout | undefined;
  let ticking: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    const { store, clock } = context();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const now = clock.now();
      // Before the resources: what is wanted by a record is then never newer than what is wanted by them.
      const known = await readStates(store.records);
      const rows = await activeRows(context());
      if (textOf(rows, known) !== seen) {
        sources = await sourcesOf(rows, sources, base, context());
        const byName = parametersByName(sources);
        const wanted = wantedOf(byName);
        // Here first, so that nothing is searched by what the records are about to call unbuilt.
        definitions = definitionsOf(base, byName, known, wanted);
        const written = await writeStates(known, wanted, store.records);
        if (written === undefined) continue;
        states = written;
        seen = textOf(rows, states);
      }
      lookedAt = now;
      return submitOpen();
    }
    throw new Error('others keep changing the state of the search parameters');
  };

  const submitOpen = async (): Promise<void> => {
    if (hasOpen(states)) await context().jobs.submit(INDEX_JOB, {}, INDEX_JOB);
  };

  const refresh = oneAtATime(look);

  const tick = async (): Promise<void> => {
    if (context().store.isShared || isDue) {
      await refresh();
      isDue = false;
    } else await submitOpen();
  };

  return {
    get definitions() {
      return definitions;
    },
    seenMs: SEEN_LOOKS * lookMs,
    states: () => states,
    refresh,
    async ready(commit) {
      const { store, clock } = context();
      if (store.isShared && clock.now() - lookedAt > STALE_LOOKS * lookMs) await refresh();
      const parameters = commit.writes.filter(({ type }) => type === 'SearchParameter');
      if (parameters.length > 0) requireRoom(parameters, sources);
      return withCurrentKeys(commit, context());
    },
    async committed(writes) {
      if (!writes.some(({ type }) => type === 'SearchParameter')) return;
      try {
        await refresh();
      } catch (error) {
        // It is committed all the same; the next look finds it.
        isDue = true;
        onFault(error, 'search-parameters');
      }
    },
    start() {
      clearInterval(timer);
      timer = setInterval(() => {
        ticking ??= tick()
          .catch((error) => onFault(error, 'search-parameters'))
          .then(() => {
            ticking = undefined;
          });
      }, lookMs);
      timer.unref();
    },
    async stop() {
      clearInterval(timer);
      await ticking;
    },
  };
}

const textOf = (rows: readonly Row[], states: KeptStates): string =>
  JSON.stringify([rows.map(({ id, version }) => [id, version]), [...states]]);

/** Callers that come while one is under way share the next. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  return () => {
    if (next !== undefined) return next;
    const begun = running
      .catch(() => {})
      .then(() => {
        next = undefined;
        return work();
      });
    next = begun;
    running = begun;
    return begun;
  };
}

// ---- what is stored ----

/** The active SearchParameter resources, oldest first, without their content. */
async function activeRows(context: EngineContext): Promise<Row[]> {
  const type = 'SearchParameter';
  const { criteria } = parseSearch([type], 'status=active', { definitions: context.definitions, lenient: false });
  const page = await context.store.search(
    {
      type,
      where: compileCriteria(type, criteria, { ...context, now: context.clock.now() }),
      order: [{ by: 'lastUpdated', descending: false }],
      limit: limits.addedParametersMax,
      bodyless: true,
      budgetMs: limits.queryBudgetMs,
    },
    everything,
  );
  return page.rows;
}

/** What each row adds, in the order of the rows; what is known of the same version is taken over. */
async function sourcesOf(
  rows: readonly Row[],
  known: ReadonlyMap<string, Source>,
  base: Definitions,
  { store }: EngineContext,
): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  for (let at = 0; at < rows.length; at += limits.pageSizeMax) {
    const some = rows.slice(at, at + limits.pageSizeMax);
    const isFresh = ({ id, version }: Row): boolean => known.get(id)?.version !== version;
    const bodies = await store.readMany(some.filter(isFresh), everything);
    const read = new Map(bodies.flatMap((row) => (row === undefined ? [] : [[row.id, row] as const])));
    for (const row of some) {
      const { version, body } = read.get(row.id) ?? {};
      const source =
        version !== undefined && body
          ? { version, parameters: parametersOf(JSON.parse(Buffer.from(body).toString('utf8')) as Resource, base) }
          : known.get(row.id);
      if (source !== undefined) sources.set(row.id, source);
    }
  }
  return sources;
}

interface Named {
  /** Of the SearchParameter resource. */
  id: string;
  parameter: SearchParameter;
}

/** By type and code; of two resources that define the same, the one written last. */
function parametersByName(sources: ReadonlyMap<string, Source>): Map<string, Named> {
  const named = new Map<string, Named>();
  for (const [id, { parameters }] of sources) {
    for (const parameter of parameters) named.set(`${parameter.base}.${parameter.code}`, { id, parameter });
  }
  return named;
}

function wantedOf(named: ReadonlyMap<string, Named>): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const { id, parameter } of named.values()) {
    const types = [...(wanted.get(id)?.types ?? []), parameter.base];
    wanted.set(id, { list: parameter.list ?? '', types });
  }
  return wanted;
}

function definitionsOf(
  base: Definitions,
  named: ReadonlyMap<string, Named>,
  states: KeptStates,
  wanted: ReadonlyMap<string, Wanted>,
): Definitions {
  const built = new Map([...wanted].map(([id, one]) => [id, nextState(states.get(id)?.state, one).built]));
  return withSearchParameters(
    base,
    [...named.values()].map(({ id, parameter }) =>
      built.get(id)?.includes(parameter.base) === true ? parameter : { ...parameter, isBuilding: true },
    ),
  );
}

/** Each added parameter costs every write of its types, and all of them are looked at together. */
function requireRoom(writes: readonly Write[], known: ReadonlyMap<string, Source>): void {
  const fresh = writes.filter((write) => !known.has(write.id) && isActive(write));
  if (known.size + fresh.length <= limits.addedParametersMax) return;
  throw new FhirError(
    'too-costly',
    `This server works with up to ${limits.addedParametersMax} active SearchParameter resources; it has ${known.size}.`,
  );
}

/** A body is JSON only with its stamp. */
const isActive = ({ body, stampAt }: Write): boolean =>
  body !== null &&
  (JSON.parse(Buffer.from(stamped(body, stampAt, 1, 0)).toString('utf8')) as Resource).status === 'active';
