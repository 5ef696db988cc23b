// Criteria whose meaning stands in other resources: members of a List, codes of a value set, positions within a circle.
// They are looked up before the search is compiled, through the caller's own rights.
// https://hl7.org/fhir/R4/search.html#list, https://hl7.org/fhir/R4/search.html#modifiers
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { parseReference } from '../../model/references.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { or } from './conditions.ts';
import type { Circle, Criterion } from './criteria.ts';
import { decodeNumber, NUMBER_CHARS, parameterPrefix } from './keys.ts';
import { around, isWithin, positionPrefix } from './near.ts';
import { tokenMembers } from './token-members.ts';

/** The same criteria with nothing left to look up; the same array when there was nothing. */
export async function resolveCriteria(
  criteria: readonly Criterion[],
  caller: Caller,
  context: EngineContext,
): Promise<readonly Criterion[]> {
  if (!criteria.some(needsResolving)) return criteria;
  return Promise.all(criteria.map((criterion) => resolved(criterion, caller, context)));
}

const IN_CODES: ReadonlySet<string | undefined> = new Set(['in', 'not-in', 'above', 'below']);

function needsResolving(criterion: Criterion): boolean {
  switch (criterion.kind) {
    case 'list':
    case 'near':
      return true;
    case 'and':
    case 'or':
      return criterion.of.some(needsResolving);
    case 'not':
      return needsResolving(criterion.of);
    case 'chain':
      return criterion.next.some((next) => needsResolving(next.criterion));
    case 'has':
      return needsResolving(criterion.criterion);
    case 'parameter':
      return criterion.parameter.type === 'token' && IN_CODES.has(criterion.modifier);
    case 'ids':
    case 'members':
      return false;
  }
}

async function resolved(criterion: Criterion, caller: Caller, context: EngineContext): Promise<Criterion> {
  switch (criterion.kind) {
    case 'list':
      return { kind: 'ids', ids: await listedIds(criterion.id, caller, context) };
    case 'near':
      return { kind: 'ids', ids: new Map([['Location', await idsNear(criterion.places, caller, context)]]) };
    case 'and':
    case 'or':
      return { kind: criterion.kind, of: await Promise.all(criterion.of.map((one) => resolved(one, caller, context))) };
    case 'not':
      return { kind: 'not', of: await resolved(criterion.of, caller, context) };
    case 'chain': {
      const next = criterion.next.map(async ({ type, criterion }) => ({
        type,
        criterion: await resolved(criterion, caller, context),
      }));
      return { ...criterion, next: await Promise.all(next) };
    }
    case 'has':
      return { ...criterion, criterion: await resolved(criterion.criterion, caller, context) };
    case 'parameter':
      return IN_CODES.has(criterion.modifier) && criterion.parameter.type === 'token'
        ? tokenMembers(criterion, caller, context)
        : criterion;
    case 'ids':
    case 'members':
      return criterion;
  }
}

// ---- _list ----

/** Ids by type of what a List refers to here; entries marked as deleted are none. None for a List that is not there. */
export async function listedIds(id: string, caller: Caller, context: EngineContext): Promise<Map<string, string[]>> {
  const row = await context.store.read('List', id, caller.filter);
  const ids = new Map<string, string[]>();
  if (row?.body === undefined || row.body === null) return ids;
  const list = JSON.parse(Buffer.from(row.body).toString('utf8')) as {
    entry?: { deleted?: boolean; item?: { reference?: string } }[];
  };
  const isType = (type: string): boolean => context.definitions.isResourceType(type);
  for (const { deleted, item } of list.entry ?? []) {
    if (deleted === true || item?.reference === undefined) continue;
    const reference = parseReference(item.reference, context.baseUrl, isType);
    const { kind, type, id: listed } = reference;
    if (kind !== 'relative' || type === undefined || listed === undefined) continue;
    const known = ids.get(type);
    if (known === undefined) ids.set(type, [listed]);
    else known.push(listed);
  }
  return ids;
}

// ---- near ----

async function idsNear(places: readonly Circle[], caller: Caller, context: EngineContext): Promise<string[]> {
  const prefix = parameterPrefix('Location', 'near');
  const page = await context.store.search(
    {
      type: 'Location',
      where: or(places.map((circle) => around(prefix, circle))),
      order: [],
      limit: limits.placesMax,
      keysOf: [positionPrefix(prefix)],
      bodyless: true,
      budgetMs: limits.queryBudgetMs,
    },
    caller.filters.s,
  );
  if (page.next !== undefined) {
    throw new FhirError(
      'too-costly',
      `More than ${limits.placesMax} locations are around there; ask for a smaller distance.`,
    );
  }
  return page.rows
    .filter(({ keys = [] }) => keys.some((key) => places.some((circle) => isWithin(circle, positionOf(key, prefix)))))
    .map(({ id }) => id);
}

function positionOf(key: string, prefix: string): { latitude: number; longitude: number } {
  const at = positionPrefix(prefix).length;
  return {
    latitude: decodeNumber(key.slice(at, at + NUMBER_CHARS)),
    longitude: decodeNumber(key.slice(at + NUMBER_CHARS)),
  };
}
