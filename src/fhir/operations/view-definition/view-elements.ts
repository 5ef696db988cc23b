// Elements of a ViewDefinition as they are read: each that is wrong leaves a problem with its place, and the reading goes
// on, so that one answer tells all of them.
import { limits } from '../../../base/limits.ts';
import { FhirError, type Issue } from '../../../base/outcome.ts';
import { nearest } from '../../../base/text.ts';
import type { ExpressionScope } from './expression.ts';
import { compileViewPath, type ViewPath } from './view-path.ts';

export type Json = Readonly<Record<string, unknown>>;

/** An object of the view and where it stands: `viewResource.select[0].column[2]`. */
export interface Placed {
  json: Json;
  place: string;
}

/** Types of foci; undefined: not known before the view is run. */
export type FocusTypes = ReadonlySet<string> | undefined;

/** The reading of one view. */
export interface Reading {
  scope: ExpressionScope;
  problems: Issue[];
  /** What there was so far. */
  counts: { selections: number; columns: number; chars: number };
}

/** One answer tells so many. */
const PROBLEMS_MAX = 50;

export function problem(reading: Reading, place: string, text: string, code: Issue['code'] = 'invalid'): void {
  if (reading.problems.length >= PROBLEMS_MAX) return;
  reading.problems.push({ severity: 'error', code, diagnostics: cut(text), expression: place });
}

/** Ends the reading: what is beyond a bound is not looked at. */
export function checkBound(count: number, max: number, what: string): void {
  if (count > max) throw new FhirError('too-costly', `A view has at most ${max} ${what}.`);
}

/** The objects of a list; none where it is absent. */
export function objects(reading: Reading, value: unknown, place: string): Placed[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    problem(reading, place, 'A list is expected.', 'structure');
    return [];
  }
  return value.flatMap((json: unknown, at) => {
    if (isObject(json)) return [{ json, place: `${place}[${at}]` }];
    problem(reading, `${place}[${at}]`, 'An object is expected.', 'structure');
    return [];
  });
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A name that is one in databases as well (invariant sql-name). */
export function nameIn(reading: Reading, value: unknown, place: string): string | undefined {
  if (typeof value === 'string' && /^[A-Za-z][A-Za-z0-9_]{0,254}$/.test(value)) return value;
  const code = value === undefined ? 'required' : 'value';
  problem(reading, place, 'A name begins with a letter and has letters, digits and underscores.', code);
  return undefined;
}

export function booleanIn(reading: Reading, value: unknown, place: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    problem(reading, place, 'true or false is expected.', 'structure');
  }
  return value === true;
}

/** `mayMiss`: elements that no focus has are no mistake. */
export function pathIn(
  reading: Reading,
  value: unknown,
  place: string,
  types: FocusTypes,
  options: { mayMiss?: boolean } = {},
): ViewPath | undefined {
  if (typeof value !== 'string' || value.trim() === '') {
    problem(reading, place, 'A FHIRPath expression is expected.', value === undefined ? 'required' : 'structure');
    return undefined;
  }
  reading.counts.chars += value.length;
  checkBound(reading.counts.chars, limits.viewExpressionCharsMax, 'characters of expressions');
  try {
    return compileViewPath(value, types, reading.scope, options);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    problem(reading, place, `The expression is invalid: ${error.message}`);
    return undefined;
  }
}

const everywhere: readonly string[] = ['id', 'extension', 'fhir_comments'];

/** A member that is misspelt would be a criterion that is not applied, or a column that is not there. */
export function checkMembers(
  reading: Reading,
  { json, place }: Placed,
  accepted: readonly string[],
  besides?: RegExp,
): void {
  for (const member of Object.keys(json)) {
    const name = member.startsWith('_') ? member.slice(1) : member;
    if (accepted.includes(name) || everywhere.includes(name) || besides?.test(name) === true) continue;
    const near = nearest(name, accepted);
    const hint = near === undefined ? `Accepted: ${accepted.join(', ')}.` : `Did you mean "${near}"?`;
    problem(reading, place, `"${member.slice(0, 60)}" is not an element here. ${hint}`, 'structure');
  }
}

const cut = (text: string): string => (text.length > 500 ? `${text.slice(0, 500)}…` : text);
