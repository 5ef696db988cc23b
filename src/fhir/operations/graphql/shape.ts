// What a query has found → the answer: names, lists and single values, flattened and sliced as its directives say.
// https://hl7.org/fhir/R4/graphql.html#flattening
import { FhirError } from '../../../base/outcome.ts';
import { located } from './errors.ts';
import type { Step } from './planner.ts';
import { Branch, type Found } from './tree.ts';

/** An object of the answer, without a prototype: an alias may be called anything. */
type Shaped = Record<string, unknown>;

/** What flattened fields above hand down. */
interface Inherited {
  isList: boolean;
  /** `.official`, or '' */
  suffix: string;
}

/** The object that a branch becomes. Throws FhirError('invalid') where values come together that cannot. */
export function shaped(branch: Branch): Shaped {
  const object: Shaped = Object.create(null);
  addBranch(branch, { object, types: new Map() }, { isList: false, suffix: '' });
  return object;
}

interface Target {
  object: Shaped;
  /** Name in the answer → type of what is there. */
  types: Map<string, string>;
}

function addBranch(branch: Branch, target: Target, inherited: Inherited): void {
  for (const found of branch.found) located(found.step.node, () => addFound(found, target, inherited));
}

function addFound({ step, values, slices }: Found, target: Target, inherited: Inherited): void {
  if (values === null) {
    target.object[step.key] = null;
    return;
  }
  const isList = inherited.isList || step.isList;
  if (values.length === 0 && isList && isShownEmpty(step)) target.object[step.key + inherited.suffix] ??= [];
  for (const [at, value] of values.entries()) {
    // A null keeps the place of a value that has extensions alone; among values of several lists there are no places.
    if (value === null && inherited.isList) continue;
    const slice = slices?.[at];
    const suffix = slice === undefined ? inherited.suffix : `${inherited.suffix}.${slice}`;
    if (!step.isFlattened) addValue(step, value, step.key + suffix, isList && !step.isSingleton, target);
    else if (value instanceof Branch) addBranch(value, target, { isList, suffix });
  }
}

/** A search that matches nothing is an empty list; an element that is absent is left out, as in FHIR's JSON. */
function isShownEmpty({ source, isFlattened, isSingleton }: Step): boolean {
  return source?.kind !== 'element' && source?.kind !== 'sibling' && !isFlattened && !isSingleton;
}

function addValue(step: Step, value: unknown, name: string, isList: boolean, { object, types }: Target): void {
  const type = types.get(name);
  if (type !== undefined && type !== typeOf(step)) {
    throw new FhirError(
      'invalid',
      `"${name}" would hold values of type ${type} and ${typeOf(step)}; give one of them an alias.`,
    );
  }
  types.set(name, typeOf(step));
  const one = value instanceof Branch ? shaped(value) : value;
  if (!isList) {
    if (name in object) {
      throw new FhirError(
        'invalid',
        `"${name}" would hold more than one value${step.isSingleton ? ', which @singleton rules out' : '; give one of them an alias'}.`,
      );
    }
    object[name] = one;
  } else if (Array.isArray(object[name])) object[name].push(one);
  else if (name in object)
    throw new FhirError('invalid', `"${name}" would be a list and a single value; give one of them an alias.`);
  else object[name] = [one];
}

function typeOf({ source, type }: Step): string {
  return source?.kind === 'element' ? source.type : type.name;
}
