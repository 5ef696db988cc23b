// What a token can never do is refused before anything is looked up: 403, known from the caller alone. What it may do
// with some resources of a type is decided by the filters, and what those hide is not there: 404.
import { FhirError } from '../../base/outcome.ts';
import type { Caller, Permission } from '../caller.ts';
import type { FhirRequest } from '../interaction.ts';
import type { Interaction } from '../route.ts';
import type { Criterion, SortBy } from '../search/criteria.ts';
import { isUnrestricted } from './callers.ts';

const NAMES: Readonly<Record<Permission, string>> = {
  c: 'create',
  r: 'read',
  u: 'update',
  d: 'delete',
  s: 'search',
};

/** Whether the permission holds for any resource of the type. */
export const may = ({ filters }: Caller, permission: Permission, type: string): boolean =>
  filters[permission].of(type).kind !== 'none';

/** FhirError('forbidden') where none of the permissions holds for any resource of the type. */
export function requireAny(caller: Caller, permissions: readonly Permission[], type: string): void {
  if (permissions.some((permission) => may(caller, permission, type))) return;
  const wanted = permissions.map((permission) => NAMES[permission]).join(' or ');
  throw new FhirError('forbidden', `You may not ${wanted} ${type} resources with this token.`);
}

/** FhirError('forbidden') for an interaction that the caller may never perform on the type. */
export function requirePermission(
  interaction: Interaction,
  request: Pick<FhirRequest, 'header'>,
  caller: Caller,
): void {
  if (isUnrestricted(caller)) return;
  const require = (type: string, ...permissions: Permission[]): void => requireAny(caller, permissions, type);
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'history-instance':
      require(interaction.type, 'r');
      return;
    case 'search-type':
    case 'history-type':
      require(interaction.type, 's');
      return;
    case 'search-compartment':
      if (interaction.type !== undefined) require(interaction.type, 's');
      return;
    case 'create':
      if (request.header('if-none-exist') !== undefined) require(interaction.type, 's');
      require(interaction.type, 'c');
      return;
    case 'update':
      require(interaction.type, 'u', 'c');
      return;
    case 'conditional-update':
      require(interaction.type, 's');
      require(interaction.type, 'u', 'c');
      return;
    case 'patch':
      require(interaction.type, 'u');
      return;
    case 'conditional-patch':
      require(interaction.type, 's');
      require(interaction.type, 'u');
      return;
    case 'delete':
      require(interaction.type, 'd');
      return;
    case 'conditional-delete':
      require(interaction.type, 's');
      require(interaction.type, 'd');
      return;
    case 'operation':
      // Operations read through the filters and write through the commit; what they are about must be open at all.
      if (interaction.type !== undefined && interaction.operation.isOpen !== true) require(interaction.type, 'r', 's');
      return;
    case 'capabilities':
    case 'search-system':
    case 'history-system':
    case 'bundle':
      return;
  }
}

/**
 * The same for what a search asks of other types, and for elements that the caller is not shown: what it may not see
 * it may not search or sort by.
 */
export function requireSearchable(
  types: readonly string[],
  criteria: readonly Criterion[],
  sort: readonly SortBy[],
  caller: Caller,
): void {
  if (isUnrestricted(caller)) return;
  for (const criterion of criteria) requireCriterion(types, criterion, caller);
  for (const { parameter, chain } of sort) {
    if (chain === undefined) requireShown(types, parameter, caller);
    else {
      requireShown(types, chain.parameter, caller);
      requireOneOf(chain.targets, caller);
      requireShown(chain.targets, parameter, caller);
    }
  }
}

function requireCriterion(types: readonly string[], criterion: Criterion, caller: Caller): void {
  switch (criterion.kind) {
    case 'parameter':
    case 'members':
    case 'near':
      requireShown(types, criterion.parameter, caller);
      return;
    case 'chain':
      requireShown(types, criterion.parameter, caller);
      requireOneOf(
        criterion.next.map(({ type }) => type),
        caller,
      );
      for (const { type, criterion: next } of criterion.next) requireCriterion([type], next, caller);
      return;
    case 'has':
      requireAny(caller, ['s'], criterion.type);
      requireShown([criterion.type], criterion.parameter, caller);
      requireCriterion([criterion.type], criterion.criterion, caller);
      return;
    case 'and':
    case 'or':
      for (const one of criterion.of) requireCriterion(types, one, caller);
      return;
    case 'not':
      requireCriterion(types, criterion.of, caller);
      return;
    case 'list':
      requireAny(caller, ['r'], 'List');
      return;
    case 'ids':
      return;
  }
}

/** A chain that no target type is open to would find nothing, whatever there is; that is told. */
function requireOneOf(types: readonly string[], caller: Caller): void {
  const [first] = types;
  if (first !== undefined && !types.some((type) => may(caller, 's', type))) requireAny(caller, ['s'], first);
}

function requireShown(types: readonly string[], parameter: Parameter, caller: Caller): void {
  const type = types.find((type) => !isShown(type, parameter, caller));
  if (type === undefined) return;
  throw new FhirError('forbidden', `"${parameter.code}" looks at what you may not see of ${type}; leave it out.`);
}

interface Parameter {
  code: string;
  expression: string;
}

/** Whether a parameter of a type looks at no element that the caller is not shown. */
export function isShown(type: string, { code, expression }: Parameter, caller: Caller): boolean {
  const hidden = caller.hidden(type);
  if (hidden.length === 0) return true;
  // Full text looks into all of it.
  const looksEverywhere = code === '_content' || code === '_text';
  return !looksEverywhere && !hidden.some((element) => new RegExp(`\\b${type}\\.${element}\\b`).test(expression));
}
