// How far the index has come with the search parameters that were added: a record for each SearchParameter resource, and
// the job that goes over what was stored before. All processes on a store read and write these records; whoever sees that
// something else is wanted says so in the record before anything is done about it.
import { setTimeout as delay } from 'node:timers/promises';
import type { JobHandler } from '../jobs/jobs.ts';
import type { Records } from '../store/store.ts';
import type { EngineContext } from './context.ts';
import { reindexType } from './maintenance.ts';
import { inTurn } from './transaction/in-turn.ts';

export const INDEX_JOB = 'index';
const RECORD = 'search-parameter';
const RECORDS_LISTED = 500;

/** What a SearchParameter resource wants: the name of a list, on these types. */
export interface Wanted {
  list: string;
  types: readonly string[];
}

export interface IndexState {
  /** '' when nothing is wanted any more. */
  list: string;
  types: readonly string[];
  /** Those of `types` all of whose rows have the list. */
  built: readonly string[];
  /** Types whose rows may still have entries that nobody wants. */
  leftovers: readonly string[];
}

const NOTHING: Wanted = { list: '', types: [] };

/** The state once something else is wanted; the same object where it is what the state was made for. */
export function nextState(state: IndexState | undefined, wanted: Wanted = NOTHING): IndexState {
  const { list, types } = wanted;
  if (state === undefined) return { list, types, built: [], leftovers: [] };
  if (state.list === list && sameMembers(state.types, types)) return state;
  const had = [...new Set([...state.leftovers, ...state.types])];
  if (state.list !== list) return { list, types, built: [], leftovers: had };
  const isWanted = (type: string): boolean => types.includes(type);
  return {
    list,
    types,
    built: state.built.filter(isWanted),
    leftovers: had.filter((type) => !isWanted(type)),
  };
}

const sameMembers = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((one) => b.includes(one));

/** The types whose rows have to be looked at. */
const openTypes = ({ types, built, leftovers }: IndexState): string[] => [
  ...new Set([...types.filter((type) => !built.includes(type)), ...leftovers]),
];

export interface KeptState {
  state: IndexState;
  /** Of the record; 0 when it is not there yet. */
  version: number;
}

/** By id of the SearchParameter resource. */
export type KeptStates = ReadonlyMap<string, KeptState>;

export async function readStates(records: Records): Promise<KeptStates> {
  const states = new Map<string, KeptState>();
  let after: string | undefined;
  do {
    const page = await records.list(RECORD, { limit: RECORDS_LISTED, ...(after === undefined ? {} : { after }) });
    for (const { id, version, value } of page) states.set(id, { state: JSON.parse(value) as IndexState, version });
    after = page.length < RECORDS_LISTED ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
  return states;
}

/** Says in the records what is wanted now; undefined when another process was faster with one of them. */
export async function writeStates(
  known: KeptStates,
  wanted: ReadonlyMap<string, Wanted>,
  records: Records,
): Promise<KeptStates | undefined> {
  const ids = [...new Set([...known.keys(), ...wanted.keys()])];
  const states = await inTurn(ids, async (id): Promise<KeptState | undefined> => {
    const kept = known.get(id);
    const state = nextState(kept?.state, wanted.get(id));
    if (state === kept?.state) return kept;
    const version = await records.put({ kind: RECORD, id, value: JSON.stringify(state) }, kept?.version ?? 0);
    return version === undefined ? undefined : { state, version };
  });
  const written = ids.flatMap((id, at) => (states[at] === undefined ? [] : [[id, states[at]] as const]));
  return written.length < ids.length ? undefined : new Map(written);
}

// ---- the job ----

/** What the job needs of those who know the parameters. */
export interface Indexed {
  /** Looks at what is wanted now. */
  refresh(): Promise<void>;
  states(): KeptStates;
}

/** A walk over the rows of some types, for the parameters that were open when it began. */
interface Round {
  /** Id and version of each state. */
  open: readonly [id: string, version: number][];
  types: readonly string[];
  /** Where it is: the type, and the row after which it goes on. */
  at: number;
  after?: string | undefined;
  changed: number;
}

/**
 * The job that indexes what was there before; it continues where it was interrupted, and ends when nothing is open.
 * `seenMs`: on a store that other processes write to, how long until all of them must have seen what was added.
 */
export function indexJob(indexed: Indexed, context: () => EngineContext, seenMs: number): JobHandler {
  return async ({ saved, save, signal }) => {
    let round = saved as Round | undefined;
    let changed = round?.changed ?? 0;
    for (;;) {
      round ??= await nextRound(indexed, changed);
      if (round === undefined) return { changed };
      if (round.at === 0 && round.after === undefined && context().store.isShared) {
        await delay(seenMs, undefined, { signal });
      }
      changed = await walk(round, save, signal, context());
      await settle(round, indexed, context().store.records);
      round = undefined;
    }
  };
}

async function nextRound(indexed: Indexed, changed: number): Promise<Round | undefined> {
  await indexed.refresh();
  const open = openOf(indexed.states());
  if (open.length === 0) return undefined;
  const types = [...new Set(open.flatMap(([, { state }]) => openTypes(state)))];
  return { open: open.map(([id, { version }]) => [id, version]), types, at: 0, changed };
}

const openOf = (states: KeptStates): [string, KeptState][] =>
  [...states].filter(([, { state }]) => state.list === '' || openTypes(state).length > 0);

export const hasOpen = (states: KeptStates): boolean => openOf(states).length > 0;

/** Looks at every row of the types; resolves to the number of rows changed so far. */
async function walk(
  round: Round,
  save: (saved: unknown, progress?: number) => Promise<void>,
  signal: AbortSignal,
  context: EngineContext,
): Promise<number> {
  const { types } = round;
  let { changed } = round;
  for (let at = round.at; at < types.length; at++) {
    for await (const step of reindexType(types[at] ?? '', at === round.at ? round.after : undefined, context)) {
      signal.throwIfAborted();
      changed += step.changed;
      const isLast = step.after === undefined;
      const saved: Round = { ...round, at: isLast ? at + 1 : at, after: step.after, changed };
      await save(saved, at / types.length);
    }
  }
  return changed;
}

/** What was open is built, unless something else is wanted since. */
async function settle({ open }: Round, indexed: Indexed, records: Records): Promise<void> {
  const states = await readStates(records);
  await inTurn(open, async ([id, version]) => {
    const kept = states.get(id);
    if (kept?.version !== version) return;
    const { list, types } = kept.state;
    const built: IndexState = { list, types, built: types, leftovers: [] };
    if (list === '') await records.remove(RECORD, id, version);
    else await records.put({ kind: RECORD, id, value: JSON.stringify(built) }, version);
  });
  await indexed.refresh();
}
