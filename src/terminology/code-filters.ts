// Filters by which a value set selects codes of a code system. https://hl7.org/fhir/R4/valueset-filter-operator.html
import { FhirError } from '../base/outcome.ts';
import type { CodeSystem, Concept } from './code-system-definition.ts';
import { closure, conceptOf } from './code-systems.ts';
import { compileRegex } from './regex.ts';

export interface CodeFilter {
  property: string;
  op: string;
  value: string;
}

/**
 * The codes that meet the filter, among those of the system that are known. `where` names the value set for messages.
 * Throws FhirError('unprocessable') for an operator, property, code or regular expression that is not understood;
 * 'too-costly' for an expression that takes too long.
 */
export function filteredCodes(system: CodeSystem, filter: CodeFilter, where: string): ReadonlySet<string> {
  const { property, op, value } = filter;
  switch (op) {
    case 'is-a':
      return closure(system.children, rootOf(system, filter, where));
    case 'descendent-of': {
      const root = rootOf(system, filter, where);
      const below = closure(system.children, root);
      below.delete(root);
      return below;
    }
    case 'is-not-a': {
      const below = closure(system.children, rootOf(system, filter, where));
      return new Set(system.concepts.keys()).difference(below);
    }
    case 'generalizes':
      return closure(system.parents, rootOf(system, filter, where));
    case '=':
      return codesWith(system, filter, where, (values) => values.includes(value));
    case 'in':
    case 'not-in': {
      const list = new Set(value.split(',').map((one) => one.trim()));
      return codesWith(system, filter, where, (values) => values.some((one) => list.has(one)) === (op === 'in'));
    }
    case 'exists':
      if (value !== 'true' && value !== 'false') throw refused(filter, where, 'the value of exists is true or false');
      return codesWith(system, filter, where, (values) => values.length > 0 === (value === 'true'));
    case 'regex': {
      const matches = compileRegex(value, () => refused(filter, where, TOO_LONG, 'too-costly'));
      if (matches === undefined) throw refused(filter, where, ACCEPTED_REGEX);
      return codesWith(system, filter, where, (values) => values.some(matches));
    }
    default:
      throw refused(filter, where, `accepted operators are ${OPERATORS} (property ${property})`);
  }
}

const OPERATORS = '=, is-a, descendent-of, is-not-a, generalizes, in, not-in, exists and regex';
const ACCEPTED_REGEX =
  'a regular expression may have characters, ".", classes such as [A-Z] and \\d, groups, alternatives and counts';
const TOO_LONG = 'matching it takes too long; simplify the expression, or list the codes';
/** Names by which value sets ask for the place in the hierarchy. */
const HIERARCHY = new Set(['concept', 'code', 'parent', 'subsumedBy']);

function rootOf(system: CodeSystem, filter: CodeFilter, where: string): string {
  if (!HIERARCHY.has(filter.property)) {
    throw refused(filter, where, `${filter.op} is accepted for the property concept`);
  }
  const concept = conceptOf(system, filter.value);
  if (concept === undefined) throw refused(filter, where, `CodeSystem ${system.url} has no such code`);
  return concept.code;
}

function codesWith(
  system: CodeSystem,
  filter: CodeFilter,
  where: string,
  isMet: (values: readonly string[]) => boolean,
): ReadonlySet<string> {
  const valuesOf = valuesOfProperty(system, filter, where);
  const codes = new Set<string>();
  for (const concept of system.concepts.values()) if (isMet(valuesOf(concept))) codes.add(concept.code);
  return codes;
}

function valuesOfProperty(
  system: CodeSystem,
  filter: CodeFilter,
  where: string,
): (concept: Concept) => readonly string[] {
  const { property } = filter;
  switch (property) {
    case 'concept':
    case 'code':
      return ({ code }) => [code];
    case 'display':
      return ({ display }) => (display === undefined ? [] : [display]);
    case 'parent':
    case 'subsumedBy':
      return ({ code }) => [...(system.parents.get(code) ?? [])];
    case 'child':
      return ({ code }) => [...(system.children.get(code) ?? [])];
    case 'inactive':
      return ({ isInactive }) => [String(isInactive)];
    default:
      if (system.properties.has(property)) return ({ properties }) => properties.get(property) ?? [];
  }
  const names = ['concept', 'display', 'parent', 'child', 'inactive', ...system.properties].join(', ');
  throw refused(filter, where, `CodeSystem ${system.url} can be filtered by ${names}`);
}

function refused(
  { property, op, value }: CodeFilter,
  where: string,
  accepted: string,
  kind: 'unprocessable' | 'too-costly' = 'unprocessable',
): FhirError {
  const shown = value.length <= 100 ? value : `${value.slice(0, 100)}…`;
  return new FhirError(kind, `${where} has the filter "${property} ${op} ${shown}": ${accepted}`);
}
