// The grammar of scopes, and which scope lies within which others.
// https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
import { limits } from '../base/limits.ts';
import type { Permission, ResourceScope } from '../fhir/caller.ts';

export type Scope =
  | { kind: 'resource'; text: string; resource: ResourceScope }
  /** `launch`: context comes with the launch id. `launch/patient`, `launch/encounter`: `context` is asked for. */
  | { kind: 'launch'; text: string; context?: 'patient' | 'encounter' }
  | { kind: 'identity'; text: 'openid' | 'fhirUser' }
  | { kind: 'refresh'; text: 'offline_access' | 'online_access' };

/** Says what is wrong with the query of a scope on this type; undefined when it can be enforced. */
export type CheckScopeQuery = (type: string, query: string) => string | undefined;

const others: ReadonlyMap<string, Scope> = new Map<string, Scope>([
  ['launch', { kind: 'launch', text: 'launch' }],
  ['launch/patient', { kind: 'launch', text: 'launch/patient', context: 'patient' }],
  ['launch/encounter', { kind: 'launch', text: 'launch/encounter', context: 'encounter' }],
  ['openid', { kind: 'identity', text: 'openid' }],
  ['fhirUser', { kind: 'identity', text: 'fhirUser' }],
  ['offline_access', { kind: 'refresh', text: 'offline_access' }],
  ['online_access', { kind: 'refresh', text: 'online_access' }],
]);

/** Scopes that are no scopes on resources. */
export const otherScopes: readonly string[] = [...others.keys()];

/** SMART v1's permissions in the letters of v2. */
const v1: Readonly<Record<string, readonly Permission[]>> = {
  read: ['r', 's'],
  write: ['c', 'u', 'd'],
  '*': ['c', 'r', 'u', 'd', 's'],
};

const resourcePattern = /^(patient|user|system)\/([A-Z][A-Za-z]{1,60}|\*)\.(read|write|\*|c?r?u?d?s?)(?:\?(.*))?$/;

/**
 * One scope token. A problem, as text, for a token on resources that is malformed or cannot be enforced; undefined for one
 * that is of no kind we know, such as `profile`. `checkQuery` has the last word on a well-formed query.
 */
export function parseScope(text: string, checkQuery?: CheckScopeQuery): Scope | string | undefined {
  const other = others.get(text);
  if (other !== undefined) return other;
  if (!/^(patient|user|system)\//.test(text)) return undefined;
  const match = resourcePattern.exec(text);
  if (match === null) return 'is not of the form patient|user|system/<type>.<permissions>, permissions as in cruds';
  const [, level = '', type = '', permissions = '', query] = match;
  if (permissions === '') return 'has no permissions; they are letters of cruds, in this order';
  const can = v1[permissions] ?? ([...permissions] as Permission[]);
  const problem = query === undefined ? undefined : queryProblem({ type, can, query }, checkQuery);
  if (problem !== undefined) return problem;
  const resource = { level: level as ResourceScope['level'], type, can, ...(query === undefined ? {} : { query }) };
  return { kind: 'resource', text, resource };
}

/** `_has`, `_include` and their like ask for other resources, or say how to answer. */
const parameterPattern = /^(?:_(?:id|lastUpdated|tag|profile|security|source)|[a-z][A-Za-z0-9-]*)(?::(?:in|not))?$/;

function queryProblem(
  { type, can, query }: { type: string; can: readonly Permission[]; query: string },
  checkQuery: CheckScopeQuery | undefined,
): string | undefined {
  if (type === '*') return 'has a query, which needs a type in place of *';
  if (can.some((permission) => permission !== 'r' && permission !== 's'))
    return 'has a query, which goes with the permissions r and s alone';
  for (const item of query.split('&')) {
    const [name = '', value = ''] = [decoded(item.split('=', 1)[0] ?? ''), decoded(item.slice(item.indexOf('=') + 1))];
    if (!item.includes('=') || value === '') return 'has a query that is not of the form parameter=value&…';
    if (!parameterPattern.test(name)) return 'has a query with other than plain search parameters (or :in, :not)';
  }
  const problem = checkQuery?.(type, query);
  return problem === undefined ? undefined : `has a query that cannot narrow it: ${problem}`;
}

/** Percent-decoded; empty when it is not well-formed. A plus sign is a plus sign: scopes are no forms. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** RFC 6749 appendix A.4. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** The tokens of a `scope` parameter, each once, in order; a problem, as text, when it is malformed or too long. */
export function scopeTokens(text: string): string[] | string {
  if (text.length > limits.scopeCharsMax) return `scope has more than ${limits.scopeCharsMax} characters`;
  const tokens = [...new Set(text.split(' ').filter((token) => token !== ''))];
  if (tokens.length > limits.scopesMax) return `scope has more than ${limits.scopesMax} scopes`;
  return tokens.every((token) => scopeToken.test(token)) ? tokens : 'scope has characters that no scope may have';
}

/** The scopes on resources among tokens that were checked before. */
export function resourceScopes(tokens: readonly string[]): ResourceScope[] {
  return tokens.flatMap((token) => {
    const scope = parseScope(token);
    return typeof scope === 'object' && scope.kind === 'resource' ? [scope.resource] : [];
  });
}

/** Whether everything that `inner` allows is allowed by `outer`: same level, its type, its permissions, at least as narrow. */
export function covers(outer: ResourceScope, inner: ResourceScope): boolean {
  return (
    outer.level === inner.level &&
    (outer.type === '*' || outer.type === inner.type) &&
    inner.can.every((permission) => outer.can.includes(permission)) &&
    queryCovers(outer.query, inner.query)
  );
}

/** Whether some of these tokens together allow what this one does: patient/X.r and patient/X.s cover patient/X.rs. */
export function coversToken(outer: readonly string[], inner: string): boolean {
  const scope = parseScope(inner);
  if (typeof scope !== 'object') return false;
  if (scope.kind !== 'resource') return outer.includes(inner);
  const known = resourceScopes(outer);
  return scope.resource.can.every((permission) =>
    known.some((one) => covers(one, { ...scope.resource, can: [permission] })),
  );
}

/** Every constraint of the outer query must be in the inner one, with the same values or fewer. */
function queryCovers(outer: string | undefined, inner: string | undefined): boolean {
  if (outer === undefined) return true;
  const within = constraintsOf(inner ?? '');
  return constraintsOf(outer).every((wanted) => within.some((given) => implies(given, wanted)));
}

interface Constraint {
  name: string;
  values: readonly string[];
}

function constraintsOf(query: string): Constraint[] {
  if (query === '') return [];
  return query.split('&').map((item) => {
    const at = item.indexOf('=');
    const value = decoded(item.slice(at + 1));
    // A comma that is escaped belongs to its value. https://hl7.org/fhir/R4/search.html#escaping
    return { name: decoded(item.slice(0, at)), values: value.match(/(?:\\.|[^,\\])+/gs) ?? [] };
  });
}

/** Values of one parameter are alternatives: fewer are narrower, but not under :not. */
function implies(given: Constraint, wanted: Constraint): boolean {
  if (given.name !== wanted.name || given.values.length === 0) return false;
  const isWithin = given.values.every((value) => wanted.values.includes(value));
  return isWithin && (!given.name.includes(':') || given.values.length === wanted.values.length);
}
