// Plain paths: those whose values an accessor finds in the JSON without a FHIRPath engine, in a twentieth of its time,
// and always the same values. What FHIRPath says of single values, primitives that have extensions alone, or dates is
// left to the engine.
import { nearest } from '../../../base/text.ts';
import type { Definitions } from '../../../model/definitions.ts';
import { parseSearchExpression, type SearchExpression } from '../../../model/search-expression.ts';
import { isPrimitiveType, kindOf } from './column-types.ts';

/** What is known of a path before it is evaluated. `types`: of its values, empty where it can have none. */
export type PathAnalysis = { kind: 'plain'; types: ReadonlySet<string> } | { kind: 'other' } | UnknownElement;

/** The path names an element that none of the types has. */
export interface UnknownElement {
  kind: 'unknown-element';
  problem: string;
}

/** Analyses an expression for a focus of one type. */
export function analysePath(definitions: Definitions, type: string, expression: string): PathAnalysis {
  const tree = parseSearchExpression(expression);
  if (tree === undefined) return { kind: 'other' };
  const analysis = typesOf(definitions, tree, new Set([type]));
  if (analysis === undefined) return { kind: 'other' };
  return analysis instanceof Set ? { kind: 'plain', types: analysis } : analysis;
}

/** Types of the values; undefined where a path is not plain. */
type Analysed = Set<string> | UnknownElement | undefined;

function typesOf(definitions: Definitions, node: SearchExpression, focus: ReadonlySet<string>): Analysed {
  switch (node.kind) {
    case 'focus':
      return new Set(focus);
    case 'literal':
      // The number's own text is lost in the tree.
      return typeof node.value === 'number' ? undefined : new Set([node.type]);
    case 'member':
      return memberTypes(definitions, node, focus);
    case 'index':
      return onComplex(typesOf(definitions, node.target, focus), (types) => types);
    case 'type':
      return node.operator === 'is' ? undefined : typesAs(definitions, node, focus);
    case 'call':
      return callTypes(definitions, node, focus);
    case 'equality':
    case 'logic':
      return when(truthOf(definitions, node, focus), new Set(['boolean']));
    case 'resource':
    case 'union':
      return undefined;
  }
}

type Node<Kind extends SearchExpression['kind']> = Extract<SearchExpression, { kind: Kind }>;

function memberTypes(definitions: Definitions, node: Node<'member'>, focus: ReadonlySet<string>): Analysed {
  const { target, name } = node;
  if (target.kind === 'focus' && definitions.type(name)?.kind === 'resource') {
    return new Set([...focus].filter((type) => definitions.isA(type, name)));
  }
  return onComplex(typesOf(definitions, target, focus), (owners) => {
    const found = new Set<string>();
    for (const owner of owners) for (const type of memberTypesOf(definitions, owner, name)) found.add(type);
    return found.size > 0 || owners.size === 0 ? found : unknownElement(definitions, name, owners);
  });
}

function memberTypesOf(definitions: Definitions, owner: string, name: string): string[] {
  const members = definitions.type(owner)?.members;
  const exact = members?.get(name);
  if (exact !== undefined) return [exact.type];
  return [...(members?.values() ?? [])].filter(({ choice }) => choice === name).map(({ type }) => type);
}

function unknownElement(definitions: Definitions, name: string, owners: ReadonlySet<string>): UnknownElement {
  const members = [...owners].flatMap((owner) => [...(definitions.type(owner)?.members.values() ?? [])]);
  const near = nearest(
    name,
    members.map((member) => member.choice ?? member.name),
  );
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
  const problem = `"${name.slice(0, 60)}" is not an element of ${[...owners].slice(0, 3).join(', ')}.${hint}`;
  return { kind: 'unknown-element', problem };
}

/**
 * Primitives are left to the engine: one that has an extension but no value counts as an element. So is Resource, whose
 * elements depend on what it holds.
 */
function onComplex(types: Analysed, then: (types: Set<string>) => Analysed): Analysed {
  if (!(types instanceof Set)) return types;
  for (const type of types) if (isPrimitiveType(type) || type === 'Resource') return undefined;
  return then(types);
}

function typesAs(definitions: Definitions, node: Node<'type'>, focus: ReadonlySet<string>): Analysed {
  const types = typesOf(definitions, node.target, focus);
  if (!(types instanceof Set)) return types;
  if (types.has('Resource')) return undefined;
  const narrowed = new Set<string>();
  for (const type of types) if (definitions.isA(type, node.type)) narrowed.add(type);
  return narrowed;
}

function callTypes(definitions: Definitions, node: Node<'call'>, focus: ReadonlySet<string>): Analysed {
  const [argument, ...more] = node.arguments;
  if (more.length > 0) return undefined;
  return onComplex(typesOf(definitions, node.target, focus), (types) => {
    switch (node.name) {
      case 'first':
        return argument === undefined ? types : undefined;
      case 'where':
        return argument === undefined ? undefined : when(truthOf(definitions, argument, types), types);
      case 'exists':
        return when(argument === undefined || truthOf(definitions, argument, types), new Set(['boolean']));
      case 'empty':
        return argument === undefined ? new Set(['boolean']) : undefined;
      case 'extension':
        return argument?.kind === 'literal' && argument.type === 'string' ? new Set(['Extension']) : undefined;
      default:
        return undefined;
    }
  });
}

/** Whether a criterion is plain. */
type Truth = boolean | UnknownElement;

const when = (truth: Truth, types: Set<string>): Analysed => (truth === true ? types : truth || undefined);

/** Plain are comparisons with a string, whether something exists, and these joined by `and` and `or`. */
function truthOf(definitions: Definitions, node: SearchExpression, focus: ReadonlySet<string>): Truth {
  switch (node.kind) {
    case 'logic': {
      const left = truthOf(definitions, node.left, focus);
      return left === true ? truthOf(definitions, node.right, focus) : left;
    }
    case 'equality': {
      const types = typesOf(definitions, node.left, focus);
      if (!(types instanceof Set)) return types ?? false;
      const isText = types.size > 0 && [...types].every((type) => kindOf(type) === 'string');
      return isText && node.right.kind === 'literal' && node.right.type === 'string';
    }
    case 'call': {
      if (node.name !== 'exists' && node.name !== 'empty') return false;
      const types = callTypes(definitions, node, focus);
      return types instanceof Set || (types ?? false);
    }
    default:
      return false;
  }
}
