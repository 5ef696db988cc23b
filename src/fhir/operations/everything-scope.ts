// What $everything walks: the compartment of a patient, an encounter or a practitioner, those of a group's patients, or
// those of all patients. https://hl7.org/fhir/R4/compartmentdefinition.html
import { parseReference } from '../../model/references.ts';
import { and, not, or, prefixSpan } from '../../store/conditions.ts';
import type { Alias, Condition, Key, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import { compartmentKey } from '../search/keys.ts';
import { membership } from '../search/question.ts';
import { rangeOf } from '../search/values.ts';

export interface Scope {
  /** Parts that are walked one after another: few patients at a time, so that the store merges few lists. */
  parts: number;
  /**
   * One type after another, each with what makes a resource of it belong to the part, or `none` where nothing does. The
   * resources asked about come first.
   */
  stretches(part: number): Promise<readonly Alias[]>;
  /** Types that have members. */
  types: ReadonlySet<string>;
  /** Holds for resources of a type that belong to no part, as far as a condition tells it; `isMember` tells the rest. */
  outside(type: string): Condition;
  /** Keys that the two below need of a row. */
  keysOf: readonly Key[];
  /** Whether a row that a stretch found is to be sent with this part, and not with another. */
  isOf(row: Row, part: number): boolean;
  /** Whether a row that is outside by its condition belongs to a part all the same. */
  isMember(row: Row): boolean;
}

const ALL: Condition = { kind: 'all' };
const NONE: Condition = { kind: 'none' };

/** The compartment of one resource. */
export function compartmentScope(focus: { type: string; id: string }, context: EngineContext): Scope {
  const itself: Condition = { kind: 'ids', ids: [focus.id] };
  const members = memberTypes(focus.type, context);
  // In a patient's compartment are also the patients that are linked to it.
  const belongs = (type: string): Condition => membership(type, focus, context);
  return {
    parts: 1,
    stretches: async () => {
      const present = await typesPresent(focus, members, context);
      return [
        { type: focus.type, where: itself },
        ...members.map((type): Alias => {
          if (!present.has(type)) return { type, where: NONE };
          return { type, where: type === focus.type ? and([belongs(type), not(itself)]) : belongs(type) };
        }),
      ];
    },
    types: new Set([focus.type, ...members]),
    outside: (type) => (type === focus.type || members.includes(type) ? not(belongs(type)) : ALL),
    keysOf: [],
    isOf: () => true,
    isMember: () => false,
  };
}

/** The types of which the compartment may have members. A patient's has a list for each, and most of them are empty. */
async function typesPresent(
  focus: { type: string; id: string },
  members: readonly string[],
  { store }: EngineContext,
): Promise<ReadonlySet<string>> {
  if (focus.type !== 'Patient') return new Set(members);
  const start = compartmentKey(focus.id, '');
  const keys = await store.keysIn(prefixSpan(start), members.length);
  return new Set(keys?.map((key) => key.slice(start.length)) ?? members);
}

/** Every patient there is, with everything in the compartment of any: the types are walked whole, and the rows tell. */
export function allPatientsScope(context: EngineContext): Scope {
  const types = [...new Set(['Patient', ...memberTypes('Patient', context)])];
  const isMember = (row: Row): boolean => compartmentsOf(row).length > 0;
  return {
    parts: 1,
    stretches: async () => types.map((type) => ({ type, where: ALL })),
    types: new Set(types),
    outside: () => ALL,
    keysOf: [COMPARTMENTS],
    isOf: isMember,
    isMember,
  };
}

/** Patients whose lists are merged in one query: as many as the planner merges in order of date. */
const PATIENTS_AT_ONCE = 32;

/**
 * The compartments of a group's patients. What lies in several (a provenance, an appointment, the group itself) is sent
 * with the first alone. `now` decides which members have left.
 */
export function groupScope(group: Row & { body: Uint8Array }, context: EngineContext, now: number): Scope {
  const patients = patientsOf(group.body, context, now);
  const partById = new Map(patients.map((id, at) => [id, Math.floor(at / PATIENTS_AT_ONCE)]));
  const members = memberTypes('Patient', context);
  const firstPart = (row: Row): number => Math.min(...compartmentsOf(row).flatMap((id) => partById.get(id) ?? []));
  return {
    parts: Math.ceil(patients.length / PATIENTS_AT_ONCE),
    stretches: async (part) => {
      const ids = patients.slice(part * PATIENTS_AT_ONCE, (part + 1) * PATIENTS_AT_ONCE);
      const themselves: Condition = { kind: 'ids', ids };
      const belongs = (type: string): Condition =>
        or(ids.map((id) => ({ kind: 'key', key: compartmentKey(id, type) })));
      return [
        { type: 'Patient', where: themselves },
        ...members.map((type) => ({
          type,
          where: type === 'Patient' ? and([belongs(type), not(themselves)]) : belongs(type),
        })),
      ];
    },
    types: new Set(['Patient', ...members]),
    outside: () => ALL,
    keysOf: [COMPARTMENTS],
    isOf: (row, part) => firstPart(row) === part,
    isMember: (row) => Number.isFinite(firstPart(row)),
  };
}

/** Types with parameters that make them members; the compartment's own resource is not among them. */
function memberTypes(compartment: string, { definitions }: EngineContext): string[] {
  return [...(definitions.compartments.get(compartment) ?? [])]
    .filter(([, codes]) => codes.some((code) => code !== '{def}'))
    .map(([type]) => type);
}

/** The list of the index that a key belongs to is its first five characters. */
const LIST_CHARS = 5;
/** The list that tells of every resource the patients in whose compartments it is. */
const COMPARTMENTS: Key = compartmentKey('', '').slice(0, LIST_CHARS);

/** Ids of the patients in whose compartments a row is, by its keys. */
function compartmentsOf({ type, keys = [] }: Row): string[] {
  const tail = compartmentKey('', type).slice(LIST_CHARS);
  return keys
    .filter((key) => key.startsWith(COMPARTMENTS) && key.endsWith(tail))
    .map((key) => key.slice(LIST_CHARS, key.length - tail.length));
}

interface GroupMember {
  entity?: { reference?: string };
  period?: object;
  inactive?: boolean;
}

/** Ids of the patients that are members now, sorted. */
function patientsOf(body: Uint8Array, context: EngineContext, now: number): string[] {
  const { member = [] } = JSON.parse(Buffer.from(body).toString('utf8')) as { member?: GroupMember[] };
  const ids = member.flatMap(({ entity, period, inactive }) => {
    const ends = period === undefined ? undefined : rangeOf({ type: 'Period', value: period }, context.timeZone)?.to;
    if (inactive === true || (ends !== undefined && ends <= now)) return [];
    const { kind, type, id } = parseReference(entity?.reference ?? '', context.baseUrl);
    return kind === 'relative' && type === 'Patient' && id !== undefined ? [id] : [];
  });
  return [...new Set(ids)].sort();
}
