// Which lists of the index answer a search parameter. Many of R4's parameters select what others select already: all of
// it (Patient.phonetic is Patient.name), the references to one type of it (Observation.patient of subject), or the union
// of several (combo-code is code and component-code). Those have no entries of their own, which halves what a write of
// an Observation costs. https://hl7.org/fhir/R4/searchparameter-registry.html
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import type { Key } from '../../store/store.ts';
import { parameterPrefix } from './keys.ts';

/** Where the values of a parameter stand. */
export interface ParameterList {
  prefix: Key;
  /** Set where the list holds references to other types, too: only local references to this one count. */
  target?: string;
  /** Set where local references stand in another list: what is left are URLs and identifiers. */
  isRemote?: true;
}

export interface ParameterLists {
  lists: readonly ParameterList[];
  /**
   * What the parameter writes itself: everything, nothing, or what another's list cannot tell: the references that are
   * no local ones to a type, and identifiers.
   */
  writes: 'all' | 'nothing' | { allBut: string };
}

const known = new WeakMap<Definitions, Map<string, ReadonlyMap<string, ParameterLists>>>();

/** The lists of a parameter on a type; never empty. */
export function listsOf(definitions: Definitions, type: string, code: string): ParameterLists {
  let byType = known.get(definitions);
  if (byType === undefined) {
    byType = new Map();
    known.set(definitions, byType);
  }
  let byCode = byType.get(type);
  if (byCode === undefined) {
    byCode = derive(type, [...definitions.searchParameters(type).values()]);
    byType.set(type, byCode);
  }
  return byCode.get(code) ?? ownLists(type, definitions.searchParameters(type).get(code)?.list ?? code);
}

const ownLists = (type: string, list: string): ParameterLists => ({
  lists: [{ prefix: parameterPrefix(type, list) }],
  writes: 'all',
});

/** A parameter by the alternatives of its expression. */
interface Known {
  code: string;
  kind: string;
  alternatives: readonly string[];
}

function derive(type: string, parameters: readonly SearchParameter[]): Map<string, ParameterLists> {
  const all = parameters.filter(isStandard).map(
    (parameter): Known => ({
      code: parameter.code,
      kind: kindOf(parameter),
      alternatives: alternativesOf(parameter.expression),
    }),
  );
  const found = new Map<string, ParameterLists>();
  for (const one of all) {
    const others = all.filter((other) => other !== one && other.kind === one.kind && !found.has(other.code));
    const derived = sameAs(type, one, others) ?? referencesAmong(type, one, others) ?? unionOf(type, one, others);
    if (derived !== undefined) found.set(one.code, derived);
  }
  return found;
}

/** Only what stays as it is may be leant on: parameters of the specification, not those that a client added. */
const isStandard = ({ list, expression, type }: SearchParameter): boolean =>
  expression !== '' && type !== 'special' && list === undefined;

/** Parameters of one kind write the same entries for the same values. */
function kindOf({ type, components }: SearchParameter): string {
  if (components === undefined) return type;
  return `${type} ${components.map(({ expression }) => alternativesOf(expression).join('|')).join('$')}`;
}

function sameAs(type: string, one: Known, others: readonly Known[]): ParameterLists | undefined {
  const same = others.find(
    (other) => isPlainer(other, one) && other.alternatives.join('|') === one.alternatives.join('|'),
  );
  return same && { lists: [{ prefix: parameterPrefix(type, same.code) }], writes: 'nothing' };
}

/** Of two names for the same, the shorter one keeps the list. */
const isPlainer = (a: Known, b: Known): boolean =>
  a.code.length < b.code.length || (a.code.length === b.code.length && a.code < b.code);

const TYPED_REFERENCE = /^(.+)\.where\(resolve\(\) is ([A-Za-z]+)\)$/;

function referencesAmong(type: string, one: Known, others: readonly Known[]): ParameterLists | undefined {
  if (one.kind !== 'reference') return undefined;
  const parts = one.alternatives.map((text) => TYPED_REFERENCE.exec(text));
  const targets = new Set(parts.map((part) => part?.[2]));
  const [target] = targets;
  if (targets.size !== 1 || target === undefined) return undefined;
  const wanted = parts.map((part) => part?.[1]).join('|');
  const whole = others.find((other) => other.alternatives.join('|') === wanted);
  if (whole === undefined) return undefined;
  const shared = { prefix: parameterPrefix(type, whole.code), target };
  const own = { prefix: parameterPrefix(type, one.code), isRemote: true } as const;
  return { lists: [own, shared], writes: { allBut: `${target}/` } };
}

function unionOf(type: string, one: Known, others: readonly Known[]): ParameterLists | undefined {
  let left = [...one.alternatives];
  const lists: ParameterList[] = [];
  for (const other of [...others].sort((a, b) => b.alternatives.length - a.alternatives.length)) {
    if (other.alternatives.length >= one.alternatives.length) continue;
    if (!other.alternatives.every((text) => left.includes(text))) continue;
    left = left.filter((text) => !other.alternatives.includes(text));
    lists.push({ prefix: parameterPrefix(type, other.code) });
  }
  return left.length === 0 && lists.length > 1 ? { lists, writes: 'nothing' } : undefined;
}

/** The operands of an expression's unions, in one way of writing: `(a as B)` is `a.as(B)`. */
function alternativesOf(expression: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at <= expression.length; at++) {
    const char = expression[at];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if ((char === '|' && depth === 0) || at === expression.length) {
      parts.push(expression.slice(start, at).trim());
      start = at + 1;
    }
  }
  return parts.map((text) => text.replace(/^\((.+) as ([A-Za-z]+)\)$/, '$1.as($2)').replace(/\s+/g, ' '));
}
