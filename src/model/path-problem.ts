// What a client reads about an expression that failed: what is wrong with it, and no value of the content it ran on.
import { FhirError } from '../base/outcome.ts';

/**
 * FhirError('invalid') for what the engine threw; a FhirError stays what it is. `otherwise` is said where the engine's own
 * words may quote the content.
 */
export function pathProblem(expression: string, error: unknown, otherwise: string): FhirError {
  if (error instanceof FhirError) return error;
  // A syntax error lists every token of the grammar after "expecting".
  const said = (error instanceof Error ? error.message : String(error)).replace(/ expecting \{[^}]*\}.*$/s, '');
  const isSyntax = typeof error === 'object' && error !== null && 'errors' in error;
  const found = problems.find(([pattern]) => pattern.test(said));
  const problem = isSyntax || (found !== undefined && found[1] === undefined) ? said : found?.[1];
  return new FhirError('invalid', `FHIRPath expression ${shownPath(expression)}: ${cut(problem ?? otherwise)}`);
}

/** What the engine says → what a client may read. Its messages quote values of the content. */
const problems: readonly (readonly [RegExp, string | undefined])[] = [
  [/^(?:Attempting to access an undefined environment variable|Not implemented|Invalid \S+ literal): /, undefined],
  [
    /^"[^"]*" cannot be resolved to a valid type identifier$|^(?:Environment )?Variable %\S+ already defined$/,
    undefined,
  ],
  [
    /^\w+ (?:wrong arity: got \d+|expects no params)$|^Instance selector |^Unary |^matches\/matchesFull flags/,
    undefined,
  ],
  [/^Invalid regular expression/, 'Invalid regular expression'],
  [
    /^Expected single|Unexpected collection|contains multiple items|^Was expecting only one/,
    'a single value is expected',
  ],
  [/^Type of "|^InequalityExpression/, 'values of different types are compared'],
  [/call stack/, 'it nests too deeply'],
];

/** An expression, or a name in it, as a message quotes it. */
export function shownPath(expression: string): string {
  return `"${cut(expression)}"`;
}

/** A message shows this much of an expression or of what the engine says about it. */
const SHOWN_MAX = 300;

function cut(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}
