// One expression of a view, compiled once: to an accessor where the path is plain, else for the FHIRPath engine.
import { FhirError } from '../../../base/outcome.ts';
import { compilePath } from '../../../model/path.ts';
import { parseReference } from '../../../model/references.ts';
import { type Accessor, compileExpression, type TypedValue } from '../../../model/search-accessors.ts';
import { type ExpressionScope, type ViewExpression, viewExpression } from './expression.ts';
import { analysePath, type PathAnalysis } from './plain-path.ts';

/** What an expression is evaluated on, and what it yields. The type is '' where the engine found the value. */
export type Focus = TypedValue;

/** What an expression may ask for besides its focus. */
export interface Around {
  /** `%resource`. */
  resource: object;
  /** `%rowIndex`. */
  rowIndex: number;
}

export interface ViewPath {
  /** Types of its values; undefined where they are known only when it is evaluated. */
  types: ReadonlySet<string> | undefined;
  /** True for `%rowIndex` alone, which is 0 in a row of nulls. */
  isRowIndex: boolean;
  /** Throws FhirError where the expression does not fit the content. */
  evaluate(focus: Focus, around: Around): Focus[];
}

/**
 * Compiles an expression for foci of some types (undefined: not known beforehand). With `mayMiss` an element that none of
 * the types has is simply absent. Throws FhirError('invalid') for what is not FHIRPath and for names that do not exist.
 */
export function compileViewPath(
  source: string,
  focusTypes: ReadonlySet<string> | undefined,
  scope: ExpressionScope,
  { mayMiss = false } = {},
): ViewPath {
  const expression = viewExpression(source, scope);
  if (expression.isRowIndex) return rowIndexPath;
  const byType = new Map<string, Evaluation>();
  const evaluationFor = (type: string): Evaluation => {
    let found = byType.get(type);
    if (found === undefined) {
      found = evaluation(expression, type, scope);
      byType.set(type, found);
    }
    return found;
  };
  // Whatever it is applied to, it must be FHIRPath.
  if (focusTypes === undefined || focusTypes.size === 0) evaluationFor('');
  const analyses = [...(focusTypes ?? [])].map((type) => evaluationFor(type).analysis);
  const unknown = analyses.find((analysis) => analysis.kind === 'unknown-element');
  if (unknown !== undefined && !mayMiss && analyses.every(({ kind }) => kind === 'unknown-element')) {
    throw new FhirError('invalid', unknown.problem);
  }
  return {
    types: focusTypes === undefined ? undefined : allTypes(analyses),
    isRowIndex: false,
    evaluate: (focus, around) => evaluationFor(focus.type).evaluate(focus, around),
  };
}

const rowIndexPath: ViewPath = {
  types: new Set(['integer']),
  isRowIndex: true,
  evaluate: (_, { rowIndex }) => [{ type: 'integer', value: rowIndex }],
};

function allTypes(analyses: readonly PathAnalysis[]): ReadonlySet<string> | undefined {
  const types = new Set<string>();
  for (const analysis of analyses) {
    if (analysis.kind === 'other') return undefined;
    if (analysis.kind === 'plain') for (const type of analysis.types) types.add(type);
  }
  return types;
}

/** An expression for foci of one type. */
interface Evaluation {
  analysis: PathAnalysis;
  evaluate: ViewPath['evaluate'];
}

const nothing = (): Focus[] => [];

function evaluation(expression: ViewExpression, type: string, scope: ExpressionScope): Evaluation {
  const engine = (): Evaluation => {
    // A resource knows its type.
    const run = engineEvaluation(expression.text, scope.definitions.isResourceType(type) ? '' : type);
    return { analysis: { kind: 'other' }, evaluate: run };
  };
  if (type === '' || expression.hasTypeOperator) return engine();
  const { referenceKey } = expression;
  const analysis = analysePath(scope.definitions, type, referenceKey?.of ?? expression.text);
  if (analysis.kind === 'other') return engine();
  if (analysis.kind === 'unknown-element') return { analysis, evaluate: nothing };
  if (analysis.types.size === 0) return { analysis, evaluate: nothing };
  const accessor = accessorFor(referenceKey?.of ?? expression.text, type, scope);
  if (accessor === undefined) return engine();
  if (referenceKey === undefined) {
    return { analysis, evaluate: ({ value }, { resource }) => accessor(value as object, resource) };
  }
  const onlyReferences = [...analysis.types].every((found) => found === 'Reference');
  return onlyReferences ? referenceKeys(accessor, referenceKey.type, scope) : engine();
}

/** undefined for an expression that has more parts than accessors may. */
function accessorFor(text: string, type: string, { definitions }: ExpressionScope): Accessor | undefined {
  try {
    return compileExpression(definitions, type, text);
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

/** getReferenceKey(): the id within a local reference. */
function referenceKeys(accessor: Accessor, wanted: string | undefined, scope: ExpressionScope): Evaluation {
  const { baseUrl, definitions } = scope;
  return {
    analysis: { kind: 'plain', types: new Set(['id']) },
    evaluate: ({ value }, { resource }) => {
      const keys: Focus[] = [];
      for (const found of accessor(value as object, resource)) {
        const { reference } = found.value as { reference?: unknown };
        if (typeof reference !== 'string') continue;
        const { kind, type, id } = parseReference(reference, baseUrl, definitions.isResourceType);
        if (kind !== 'relative' || (wanted !== undefined && type !== wanted)) continue;
        keys.push({ type: 'id', value: id });
      }
      return keys;
    },
  };
}

function engineEvaluation(text: string, type: string): ViewPath['evaluate'] {
  const run = compilePath(text, type);
  return ({ value }, { resource, rowIndex }) =>
    run(value, { resource, rootResource: resource, rowIndex }).map((found) => ({ type: '', value: found }));
}
