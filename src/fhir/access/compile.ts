// A principal → the conditions under which it may do what: every layer must say yes, and absence of a rule is no.
// Scopes and roles add up within their layer; scope, launch, role and labels are then met by each other.

import type { Definitions } from '../../model/definitions.ts';
import { simplify } from '../../store/conditions.ts';
import type { Condition, Filter } from '../../store/store.ts';
import { type Caller, PERMISSIONS, type Permission, type Principal, type ResourceScope } from '../caller.ts';
import type { EngineContext } from '../context.ts';
import { compileCriteria } from '../search/compile.ts';
import { and, or } from '../search/conditions.ts';
import { parseSearch } from '../search/parse.ts';
import { BINARY, belonging } from './binaries.ts';
import { notRefused } from './consents.ts';
import { clearedOf, hidesRestricted, openToPatient } from './labels.ts';
import { LAB_ORDERS, ofOrders, ofPatients, ofPatientsWho, PRESCRIPTIONS, representedBy, treatedBy } from './reach.ts';
import { type Reach, type Role, type RoleRule, roles, SHARED_TYPES } from './roles.ts';
import { scopeQueryProblem } from './scope-query.ts';
import type { Ties } from './ties.ts';

const ALL: Condition = { kind: 'all' };
const NONE: Condition = { kind: 'none' };

/** Makes callers of principals; the same principal gives the same caller as long as the definitions stay. */
export function createAccess(context: () => EngineContext): (principal: Principal) => Caller {
  const known = new WeakMap<Principal, { caller: Caller; definitions: Definitions; emergency: string | undefined }>();
  return (principal) => {
    const { definitions, emergencies } = context();
    const emergency = emergencies.of(principal.grant)?.patient ?? principal.emergency;
    const kept = known.get(principal);
    if (kept?.definitions === definitions && kept.emergency === emergency) return kept.caller;
    const caller = compileCaller(emergency === undefined ? principal : inEmergency(principal, emergency), context());
    known.set(principal, { caller, definitions, emergency });
    return caller;
  };
}

/** Whatever is done meanwhile is on record as done in an emergency. */
const inEmergency = (principal: Principal, emergency: string): Principal => ({
  ...principal,
  emergency,
  purpose: 'BTG',
});

export const mayBreakGlass = (principal: Principal): boolean =>
  rolesOf(principal).some(({ mayBreakGlass }) => mayBreakGlass === true);

/** The conditions of a principal, for each type made when first asked for. */
export function compileCaller(principal: Principal, context: EngineContext): Caller {
  const now = context.clock.now();
  const reaches = memo((permission, type) => simplify(reachOf(permission, type, principal, now, context)));
  const conditions = memo((permission, type) => {
    const reach = reaches(permission, type);
    const labels = labelsOf(type, principal);
    const open = notRefused(type, { principal, seesRestricted: !hidesRestricted(labels) }, now, context.definitions);
    const cleared = simplify(and([reach, labels, open]));
    return simplify(or([cleared, emergencyOf(permission, type, principal, context)]));
  });
  const binaries = memoByTies(context, (permission) => binariesOf(permission, principal, conditions, now, context));
  const of = (permission: Permission, type: string): Condition =>
    type === BINARY ? binaries(permission) : conditions(permission, type);
  const filters = Object.fromEntries(
    PERMISSIONS.map((permission): [Permission, Filter] => [permission, { of: (type) => of(permission, type) }]),
  ) as Record<Permission, Filter>;
  return {
    kind: 'principal',
    principal,
    filter: filters.r,
    filters,
    isBound: (permission, type) => reaches(permission, type).kind !== 'all',
    hidden: (type) => hiddenOf(type, principal),
    hidesElements: rolesOf(principal).some(({ rules }) => rules.some(({ hidden }) => hidden !== undefined)),
    mayRelabel: rolesOf(principal).some(({ mayRelabel }) => mayRelabel === true),
  };
}

function memo(compute: (permission: Permission, type: string) => Condition): typeof compute {
  const kept = new Map<string, Condition>();
  return (permission, type) => {
    const name = permission + type;
    let condition = kept.get(name);
    if (condition === undefined) {
      condition = compute(permission, type);
      kept.set(name, condition);
    }
    return condition;
  };
}

/** `belongs`: which Binaries are within the reach of who reaches some of them only. */
function reachOf(
  permission: Permission,
  type: string,
  principal: Principal,
  now: number,
  context: EngineContext,
  belongs: Condition = NONE,
): Condition {
  const scoped = or(
    principal.scopes
      .filter(({ type: named, can }) => (named === '*' || named === type) && can.includes(permission))
      .map((scope) => and([levelOf(type, scope, principal, context, belongs), queryOf(type, scope.query, context)])),
  );
  if (scoped.kind === 'none') return NONE;
  return and([scoped, roleOf(permission, type, principal, now, context, belongs)]);
}

function levelOf(
  type: string,
  scope: ResourceScope,
  principal: Principal,
  context: EngineContext,
  belongs: Condition,
): Condition {
  switch (scope.level) {
    case 'patient':
      if (principal.patient === undefined) return NONE;
      return type === BINARY ? belongs : ofPatients(type, [principal.patient], context.definitions);
    case 'user':
      return principal.user === undefined ? NONE : ALL;
    case 'system':
      return principal.user === undefined ? ALL : NONE;
  }
}

/** A query that cannot narrow the type closes it: the parameter may be another type's. */
function queryOf(type: string, query: string | undefined, context: EngineContext): Condition {
  if (query === undefined || query === '') return ALL;
  const { definitions } = context;
  if (scopeQueryProblem(type, query, definitions) !== undefined) return NONE;
  const { criteria } = parseSearch([type], query, { definitions, lenient: false });
  return compileCriteria(type, criteria, { ...context, now: context.clock.now(), byKeysAlone: true });
}

// ---- Binaries ----

/** The conditions on Binaries, made anew when they belong to what none belonged to before. */
function memoByTies(
  { ties }: EngineContext,
  compute: (permission: Permission) => Condition,
): (permission: Permission) => Condition {
  const kept = new Map<Permission, { ties: Ties; condition: Condition }>();
  return (permission) => {
    const known = kept.get(permission);
    if (known?.ties === ties.now) return known.condition;
    const condition = compute(permission);
    kept.set(permission, { ties: ties.now, condition });
    return condition;
  };
}

/** Scopes and roles say whether a caller may see Binaries at all, and its other rights which: see binaries.ts. */
function binariesOf(
  permission: Permission,
  principal: Principal,
  conditions: (permission: Permission, type: string) => Condition,
  now: number,
  context: EngineContext,
): Condition {
  const hidden = (type: string): readonly string[] => hiddenOf(type, principal);
  const { now: ties } = context.ties;
  const { bound, open } = belonging(permission, ties, { of: (type) => conditions(permission, type), hidden });
  const isBound = simplify(reachOf(permission, BINARY, principal, now, context)).kind === 'none';
  const reach = reachOf(permission, BINARY, principal, now, context, bound);
  const cleared = and([reach, ...(isBound ? [] : [open]), labelsOf(BINARY, principal)]);
  const inEmergency = (type: string): Condition => emergencyOf(permission, type, principal, context);
  const helped = mayHelpWith(permission, BINARY, principal)
    ? belonging(permission, ties, { of: inEmergency, hidden }).bound
    : NONE;
  return simplify(or([cleared, helped]));
}

// ---- roles ----

const rolesOf = ({ user, service }: Principal): Role[] =>
  ((user ?? service)?.roles ?? []).flatMap((name) => (Object.hasOwn(roles, name) ? [roles[name] as Role] : []));

function roleOf(
  permission: Permission,
  type: string,
  principal: Principal,
  now: number,
  context: EngineContext,
  belongs: Condition,
): Condition {
  if (principal.user === undefined && principal.service === undefined) return ALL;
  const rules = rolesOf(principal).flatMap((role) => rulesFor(role, type));
  return or(
    rules
      .filter(({ can }) => can.includes(permission))
      .map(({ reach, query }) =>
        and([
          type === BINARY && reach !== 'all' ? belongs : withinReach(reach, type, principal, now, context),
          queryOf(type, query, context),
        ]),
      ),
  );
}

/** The rules that name a type; those of `*` only where none does. */
function rulesFor({ rules }: Role, type: string): readonly RoleRule[] {
  const named = rules.filter(({ types }) => types.includes(type));
  return named.length > 0 ? named : rules.filter(({ types }) => types.includes('*'));
}

function withinReach(
  reach: Reach,
  type: string,
  { user, service }: Principal,
  now: number,
  { definitions }: EngineContext,
): Condition {
  const own = user?.fhirUser ?? service?.reference ?? '';
  switch (reach) {
    case 'all':
      return ALL;
    case 'shown':
      return NONE;
    case 'own':
      return own.startsWith('Patient/') ? ofPatients(type, [own.slice('Patient/'.length)], definitions) : NONE;
    case 'represented':
      return own.startsWith('RelatedPerson/') ? ofPatientsWho(type, representedBy(own), definitions) : NONE;
    case 'care-team':
      return own === '' ? NONE : ofPatientsWho(type, treatedBy(own, now), definitions);
    case 'lab-orders':
      return own === '' ? NONE : ofOrders(type, LAB_ORDERS, own, definitions);
    case 'prescriptions':
      return own === '' ? NONE : ofOrders(type, PRESCRIPTIONS, own, definitions);
  }
}

// ---- labels, hidden elements, emergencies ----

function labelsOf(type: string, principal: Principal): Condition {
  const own = rolesOf(principal);
  const isCleared = own.some(({ labels }) => labels === 'all');
  const cleared = clearedOf(type, isCleared ? 'all' : new Set(principal.user?.clearance ?? []));
  const isPatient = own.some(({ forPatients }) => forPatients === true);
  return isPatient ? and([cleared, openToPatient(type)]) : cleared;
}

/** What every rule by which the type is read hides. */
function hiddenOf(type: string, principal: Principal): readonly string[] {
  const rules = rolesOf(principal)
    .flatMap((role) => rulesFor(role, type))
    .filter(({ can }) => can.includes('r'));
  const [first, ...others] = rules.map(({ hidden }) => hidden ?? []);
  return (first ?? []).filter((element) => others.every((hidden) => hidden.includes(element)));
}

/**
 * While the glass is broken for a patient, all of that patient's record may be read, whatever reach and labels say, by a
 * role that may break it, of the types that it may read at all. What is no patient's stays as it is.
 */
function emergencyOf(
  permission: Permission,
  type: string,
  principal: Principal,
  { definitions }: EngineContext,
): Condition {
  const { emergency } = principal;
  if (emergency === undefined || !mayHelpWith(permission, type, principal)) return NONE;
  return ofPatients(type, [emergency], definitions);
}

function mayHelpWith(permission: Permission, type: string, principal: Principal): boolean {
  const { emergency, scopes } = principal;
  if (emergency === undefined || (permission !== 'r' && permission !== 's') || SHARED_TYPES.has(type)) return false;
  const mayRead = rolesOf(principal).some(
    (role) => role.mayBreakGlass === true && rulesFor(role, type).some(({ can }) => can.includes(permission)),
  );
  return (
    mayRead &&
    scopes.some(
      (scope) =>
        scope.level === 'user' && (scope.type === '*' || scope.type === type) && scope.can.includes(permission),
    )
  );
}
