// History: the current versions and the past ones, each in its collection, merged newest first.
// https://hl7.org/fhir/R4/http.html#history
import type { Document } from 'mongodb';
import { badCursor, readCursor, writeCursor } from '../cursor.ts';
import type { Filter, HistorySearch, Page } from '../store.ts';
import { allOf } from './compile.ts';
import { Budget, told } from './faults.ts';
import type { Joined } from './joined.ts';
import { BY_ID, BY_UPDATED, type Collections, type HistoryDoc, PAST_BY_UPDATED, type ResourceDoc } from './layout.ts';
import { type ReadDoc, visible } from './read.ts';
import { objectIdOf, rowOf } from './rows.ts';

/** Versions looked at in one round: a narrow filter may drop most of them. */
const ROUND_MIN = 50;

/** Where a page ended. (lu, tie) is unique: two versions of one resource never have the same instant. */
interface Place {
  lu: number;
  tie: string;
}

type CurrentDoc = ReadDoc & Pick<ResourceDoc, 'tie'>;
type Version = { doc: CurrentDoc; isCurrent: true } | { doc: HistoryDoc; isCurrent: false };

interface Round {
  types: readonly string[];
  /** "Type/id" of the resources asked for; undefined: all of the types. */
  names: readonly string[] | undefined;
  search: HistorySearch;
  place: Place | undefined;
  size: number;
  budget: Budget;
}

export async function historyPage(
  { on, joined }: { on: Collections; joined: Joined },
  search: HistorySearch,
  filter: Filter,
): Promise<Page> {
  const budget = new Budget(search.budgetMs);
  const about = `history ${search.type ?? ''}/${search.id ?? ''}`;
  let place = search.after === undefined ? undefined : placeOf(about, search.after);
  const types = (await typesOf(on, search)).filter((type) => filter.of(type).kind !== 'none');
  const names = namesOf(search);
  const kept: Version[] = [];
  const isNothing = types.length === 0 || names?.length === 0 || isEmpty(search.current);
  while (!isNothing && kept.length <= search.limit) {
    const size = Math.max(search.limit + 1 - kept.length, ROUND_MIN);
    const versions = await versionsOf(on, { types, names, search, place, size, budget });
    kept.push(...(await visibleVersions({ on, joined }, versions, filter, budget)));
    const last = versions.at(-1);
    if (last === undefined || versions.length < size) break;
    place = placeAt(last);
  }
  const shown = kept.slice(0, search.limit);
  const rows = shown.map((version) => rowOf(version.doc, search.keysOf));
  const last = shown.at(-1);
  if (kept.length <= search.limit || last === undefined) return { rows };
  const { lu, tie } = placeAt(last);
  return { rows, next: writeCursor(about, [lu, tie]) };
}

function isEmpty(range: HistorySearch['current']): boolean {
  return range !== undefined && range.from >= range.to;
}

/** The types to look at, each once. */
async function typesOf(on: Collections, { type, of }: HistorySearch): Promise<readonly string[]> {
  if (of !== undefined) {
    const named = new Set(of.map((ref) => ref.type));
    return type === undefined ? [...named] : named.has(type) ? [type] : [];
  }
  return type === undefined ? told(() => on.resource.distinct('t')) : [type];
}

function namesOf({ type, id, of }: HistorySearch): readonly string[] | undefined {
  const own = `${type}/${id}`;
  if (of === undefined) return id === undefined ? undefined : [own];
  const named = [...new Set(of.map((ref) => `${ref.type}/${ref.id}`))];
  return id === undefined ? named : named.filter((name) => name === own);
}

/** The next versions after a place, from both collections, visible or not. */
async function versionsOf(on: Collections, round: Round): Promise<Version[]> {
  const { names, size, search } = round;
  const options = { maxTimeMS: round.budget.leftMs(), limit: size, batchSize: size + 1 };
  const filter = roundFilter(round);
  const past = search.current === undefined ? filter : allOf([filter, { until: { $gt: search.current.from } }]);
  // The versions of resources that are named are found by their names and sorted; those of a type are walked.
  const named = { ...options, hint: BY_ID, allowDiskUse: true };
  const finds =
    names === undefined
      ? ([
          on.resource.find(filter, { ...options, hint: BY_UPDATED }),
          on.history.find(past, { ...options, hint: PAST_BY_UPDATED }),
        ] as const)
      : ([
          on.resource.find({ ...filter, _id: { $in: [...names] } }, named),
          on.history.find({ ...past, _id: { $in: names.map(versionsNamed) } }, named),
        ] as const);
  const sort = { lu: -1, tie: -1 } as const;
  // One after the other: an update in between shows a version twice, the other way round it would be missing.
  const current = await told(() => finds[0].sort(sort).toArray());
  const replaced = await told(() => finds[1].sort(sort).toArray());
  const versions: Version[] = [
    ...current.map((doc) => ({ doc, isCurrent: true }) as const),
    ...replaced.map((doc) => ({ doc, isCurrent: false }) as const),
  ];
  return distinctVersions(versions.sort(newestFirst)).slice(0, size);
}

/** The names "Type/id/version" that begin so; the server reads a pattern like this as a range of the index. */
function versionsNamed(name: string): RegExp {
  return new RegExp(`^${name.replace(/[^A-Za-z0-9/]/g, '\\$&')}/`);
}

function roundFilter({ types, search, place }: Round): Document {
  const since = search.since === undefined ? {} : { lu: { $gte: search.since } };
  const until = search.until === undefined ? {} : { lu: { $lte: search.until } };
  const current = search.current === undefined ? {} : { lu: { $lt: search.current.to } };
  const tie = place === undefined ? undefined : objectIdOf(place.tie);
  const before =
    place === undefined || tie === undefined
      ? []
      : [{ lu: { $lte: place.lu } }, { $or: [{ lu: { $lt: place.lu } }, { tie: { $lt: tie } }, { never: true }] }];
  const [only] = types;
  return allOf([{ t: types.length === 1 ? only : { $in: types } }, since, until, current, ...before]);
}

function newestFirst(a: Version, b: Version): number {
  if (a.doc.lu !== b.doc.lu) return b.doc.lu - a.doc.lu;
  const left = a.doc.tie.toHexString();
  const right = b.doc.tie.toHexString();
  return left < right ? 1 : left > right ? -1 : 0;
}

/** An update between the two reads shows a version in both: once as current, once as past. */
function distinctVersions(sorted: readonly Version[]): Version[] {
  return sorted.filter((version, at) => {
    const before = sorted[at - 1];
    return before === undefined || before.doc.lu !== version.doc.lu || !before.doc.tie.equals(version.doc.tie);
  });
}

/** Visible are versions that the filter lets through, of resources whose current version it lets through as well. */
async function visibleVersions(
  { on, joined }: { on: Collections; joined: Joined },
  versions: readonly Version[],
  filter: Filter,
  budget: Budget,
): Promise<Version[]> {
  const kept = new Set<Version>();
  for (const [type, ofType] of groupByType(versions)) {
    const condition = filter.of(type);
    if (condition.kind === 'all') {
      for (const version of ofType) kept.add(version);
      continue;
    }
    const refs = [...new Set(ofType.map(({ doc }) => `${doc.t}/${doc.id}`))];
    const projection = { t: 1, id: 1, v: 1, lu: 1, idx: 1, old: 1, isDeleted: { $eq: ['$body', null] } };
    const find = on.resource.find<Omit<ReadDoc, 'body'> & { isDeleted: boolean }>(
      { _id: { $in: refs } },
      { projection, maxTimeMS: budget.leftMs() },
    );
    const found = await told(() => find.toArray());
    const currents = found.map((doc): ReadDoc => ({ ...doc, body: doc.isDeleted ? null : NO_BYTES }));
    const current = new Set((await visible(joined, currents, condition)).map((doc) => doc._id));
    const past = ofType.flatMap((version) => (version.isCurrent ? [] : [version.doc]));
    const allowed = new Set(await visible(joined, past, condition));
    for (const version of ofType) {
      const isAllowed = version.isCurrent || allowed.has(version.doc);
      if (isAllowed && current.has(`${type}/${version.doc.id}`)) kept.add(version);
    }
  }
  return versions.filter((version) => kept.has(version));
}

const NO_BYTES = new Uint8Array();

function groupByType(versions: readonly Version[]): Map<string, Version[]> {
  return Map.groupBy(versions, (version) => version.doc.t);
}

function placeAt(version: Version): Place {
  return { lu: version.doc.lu, tie: version.doc.tie.toHexString() };
}

function placeOf(about: string, cursor: string): Place {
  const [lu, tie, ...others] = readCursor(about, cursor);
  const isPlace = typeof lu === 'number' && typeof tie === 'string' && /^[0-9a-f]{24}$/.test(tie);
  if (!isPlace || others.length > 0) throw badCursor();
  return { lu, tie };
}
