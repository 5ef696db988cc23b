// What a SearchParameter resource adds to R4's own parameters: one for each type it is for, or the reasons why it cannot
// be used here. https://hl7.org/fhir/R4/searchparameter.html
import { limits } from '../base/limits.ts';
import { FhirError, type Issue } from '../base/outcome.ts';
import type { Definitions, SearchParameter } from '../model/definitions.ts';
import { compileExpression, selectedTypes } from '../model/search-accessors.ts';
import type { Resource } from './prepare.ts';
import { digest, parameterPrefix } from './search/keys.ts';

interface AddedResource {
  code: string;
  url: string;
  type: SearchParameter['type'];
  expression: string;
  target?: string[];
}

/** The parameters that a stored resource adds to `base`, R4's definitions. One that cannot be used adds nothing. */
export function parametersOf(resource: Resource, base: Definitions): SearchParameter[] {
  if (resource.status !== 'active' || parameterIssues(resource, base).length > 0) return [];
  const { code, url, type: kind, expression, target = [] } = resource as unknown as AddedResource;
  return [...selections(resource, base).keys()].map((type) => ({
    code,
    url,
    type: kind,
    base: type,
    expression,
    targets: target.filter((one) => base.isResourceType(one)),
    list: listName(resource),
  }));
}

/** Another expression is another list, so that entries of the old one are never taken for its own. */
const listName = ({ code, type, expression }: Resource): string => `${code} ${digest(`${type} ${expression}`, 8)}`;

/** The types that a parameter is for. Resource and DomainResource imply all of theirs. */
function basesOf({ base }: Resource, definitions: Definitions): { named: string[]; implied: string[] } {
  const given = new Set(Array.isArray(base) ? base.map(String) : []);
  const ancestors = ['Resource', 'DomainResource'].filter((ancestor) => given.has(ancestor));
  const others = definitions.resourceTypes.filter((type) => !given.has(type));
  return {
    named: definitions.resourceTypes.filter((type) => given.has(type)),
    implied: others.filter((type) => ancestors.some((ancestor) => definitions.isA(type, ancestor))),
  };
}

/**
 * The types on which R4 has no such parameter, with the types of what the expression selects there. Of types that are
 * implied, those in which it selects nothing are left out; in the others it must.
 */
function selections(resource: Resource, definitions: Definitions): Map<string, ReadonlySet<string>> {
  const { named, implied } = basesOf(resource, definitions);
  const text = String(resource.expression);
  const found = new Map<string, ReadonlySet<string>>();
  const isLacking = (type: string): boolean => !isOfR4(definitions.searchParameters(type).get(String(resource.code)));
  for (const type of [...named, ...implied].filter(isLacking)) {
    const types = selectedTypes(definitions, type, text, limits.addedExpressionPartsMax);
    if (types.size > 0) found.set(type, types);
    // Says why.
    else if (named.includes(type)) compileExpression(definitions, type, text);
  }
  const some = implied.find(isLacking);
  if (found.size === 0 && some !== undefined) compileExpression(definitions, some, text);
  return found;
}

const isOfR4 = (parameter: SearchParameter | undefined): boolean =>
  parameter !== undefined && parameter.list === undefined;

// ---- what is wrong with one ----

const ISSUES_MAX = 20;
const CODE = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/**
 * Why a SearchParameter cannot be used here; empty when it can, or when it is a draft or describes a parameter that R4
 * has anyway. For the write path: an active parameter that would silently not work is refused.
 */
export function parameterIssues(resource: Resource, definitions: Definitions): Issue[] {
  if (resource.status !== 'active') return [];
  const code = String(resource.code);
  const { named, implied } = basesOf(resource, definitions);
  const bases = [...named, ...implied];
  if (bases.length === 0) return [issue('base', 'None of the bases is a resource type of R4.')];
  if (bases.every((type) => isOfR4(definitions.searchParameters(type).get(code)))) return [];
  const issues: Issue[] = [];
  if (!CODE.test(code)) {
    issues.push(issue('code', 'A code has up to 64 letters, digits, "-" and "_", and begins with a letter.'));
  }
  if (!SELECTABLE.has(String(resource.type))) {
    issues.push(issue('type', `Parameters of type ${[...SELECTABLE.keys()].join(', ')} can be added.`));
  }
  if (typeof resource.expression !== 'string') issues.push(issue('expression', 'A parameter needs an expression.'));
  if (issues.length > 0) return issues;
  return selectionIssues(resource, definitions).slice(0, ISSUES_MAX);
}

function selectionIssues(resource: Resource, definitions: Definitions): Issue[] {
  try {
    return [...selections(resource, definitions)].flatMap(([type, selected]) => [
      ...typeIssues(type, selected, resource, definitions),
      ...codeIssues(type, resource, definitions),
    ]);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    return error.issues.map((one) => ({ ...one, expression: 'SearchParameter.expression' }));
  }
}

function typeIssues(
  type: string,
  selected: ReadonlySet<string>,
  { type: kind }: Resource,
  definitions: Definitions,
): Issue[] {
  if ([...selected].some((one) => canHold(String(kind), one, definitions))) return [];
  const what = [...selected].slice(0, 5).join(', ');
  return [issue('type', `What the expression selects in ${type} (${what}) cannot be searched as ${kind}.`)];
}

/** A code that another added parameter has, or whose list of the index could be taken for another's. */
function codeIssues(type: string, resource: Resource, definitions: Definitions): Issue[] {
  const known = definitions.searchParameters(type).get(String(resource.code));
  if (known !== undefined && known.url !== resource.url) {
    return [issue('code', `${type} has a parameter "${known.code}" already: ${known.url}.`)];
  }
  const list = listName(resource);
  const others = listsByPrefix(definitions).get(parameterPrefix(type, list)) ?? [];
  if (others.every((other) => other === `${type}.${list}`)) return [];
  return [issue('code', 'Another code is needed: the index cannot tell this one apart.')];
}

const issue = (element: string, diagnostics: string): Issue => ({
  severity: 'error',
  code: 'business-rule',
  diagnostics,
  expression: `SearchParameter.${element}`,
});

const prefixesByDefinitions = new WeakMap<Definitions, Map<string, string[]>>();

/** Names of lists by the four characters that their keys begin with; two share them once in some five million. */
function listsByPrefix(definitions: Definitions): Map<string, string[]> {
  let known = prefixesByDefinitions.get(definitions);
  if (known === undefined) {
    known = new Map();
    prefixesByDefinitions.set(definitions, known);
    for (const type of definitions.resourceTypes) {
      for (const { code, list = code } of definitions.searchParameters(type).values()) {
        const prefix = parameterPrefix(type, list);
        known.set(prefix, [...(known.get(prefix) ?? []), `${type}.${list}`]);
      }
    }
  }
  return known;
}

// ---- which types of values a parameter can hold ----

const TEXTS = ['string', 'markdown', 'code', 'id', 'uri', 'url', 'canonical', 'oid', 'uuid'];
const URIS = ['uri', 'url', 'canonical', 'oid', 'uuid'];
const CODED = ['Coding', 'CodeableConcept', 'Identifier', 'ContactPoint'];
const NUMBERS = ['integer', 'positiveInt', 'unsignedInt', 'decimal'];

/** An extension stands for its value, whatever that is. */
const SELECTABLE: ReadonlyMap<string, readonly string[]> = new Map([
  ['number', [...NUMBERS, 'Range', 'Extension']],
  ['date', ['date', 'dateTime', 'instant', 'Period', 'Timing', 'Extension']],
  ['string', [...TEXTS, 'HumanName', 'Address', 'CodeableConcept', 'Extension']],
  ['token', [...TEXTS, ...NUMBERS, 'boolean', ...CODED, 'Quantity', 'Extension']],
  ['reference', ['Reference', ...URIS, 'Extension']],
  ['quantity', ['Quantity', 'Money', 'Range', 'SampledData', ...NUMBERS, 'Extension']],
  ['uri', [...URIS, 'Extension']],
]);

export const canHold = (kind: string, type: string, definitions: Definitions): boolean =>
  SELECTABLE.get(kind)?.some((one) => definitions.isA(type, one)) === true;
