// The expressions of a view as FHIRPath: constants replaced by their literals, the functions that SQL on FHIR adds
// written in terms of others, names of types, functions and variables checked before anything runs.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html
import { FhirError } from '../../../base/outcome.ts';
import { nearest } from '../../../base/text.ts';
import type { Definitions } from '../../../model/definitions.ts';
import { type Constants, textLiteral } from './constants.ts';

export interface ExpressionScope {
  definitions: Definitions;
  constants: Constants;
  /** References below it are local ones. */
  baseUrl: string;
}

export interface ViewExpression {
  /** FHIRPath, with `%rowIndex` left as a variable. */
  text: string;
  /** Where it ends in getReferenceKey(): what stands before that, and the type asked for. */
  referenceKey?: { of: string; type?: string };
  /** True for `%rowIndex` alone. */
  isRowIndex: boolean;
  /** Uses the operator `is` or `as`. */
  hasTypeOperator: boolean;
}

/** Throws FhirError('invalid') naming the variable, function or type that there is none of. */
export function viewExpression(source: string, scope: ExpressionScope): ViewExpression {
  const tokens = tokensOf(source);
  const written: string[] = [];
  let hasTypeOperator = false;
  let referenceKey: ViewExpression['referenceKey'];
  for (let at = 0; at < tokens.length; ) {
    const call = callAt(tokens, at, scope);
    if (call !== undefined) {
      if (call.key !== undefined && call.end === tokens.length) {
        const of = written.join('').replace(/\.\s*$/, '');
        referenceKey = { of: of.trim() === '' ? '$this' : of, ...call.key };
      }
      written.push(call.text);
      at = call.end;
      continue;
    }
    const { kind, text } = tokens[at] as Token;
    if (kind === 'variable') written.push(variableText(text, scope));
    else written.push(text);
    if (kind === 'name' && (text === 'is' || text === 'as') && !isAfterDot(tokens, at)) {
      hasTypeOperator = true;
      checkType(typeNameAt(tokens, at + 1).name, scope);
    }
    at++;
  }
  return {
    text: written.join(''),
    ...(referenceKey === undefined ? {} : { referenceKey }),
    isRowIndex: /^\s*%rowIndex\s*$/.test(source),
    hasTypeOperator,
  };
}

// ---- tokens ----

interface Token {
  kind: 'space' | 'string' | 'name' | 'variable' | 'other';
  text: string;
}

const pattern = new RegExp(
  [
    /(?<space>\s+|\/\/[^\n\r]*|\/\*.*?\*\/)/,
    /(?<string>'(?:[^'\\]|\\.)*')/,
    /(?<variable>%(?:[A-Za-z_]\w*|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`))/,
    /(?<name>\$?[A-Za-z_]\w*)/,
    /(?<other>`(?:[^`\\]|\\.)*`|@[0-9T:.Z+-]+|\d+(?:\.\d+)?|[^'`%])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'ys',
);

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  pattern.lastIndex = 0;
  while (pattern.lastIndex < source.length) {
    const at = pattern.lastIndex;
    const groups = pattern.exec(source)?.groups;
    const [kind, text] = Object.entries(groups ?? {}).find(([, found]) => found !== undefined) ?? [];
    if (text === undefined) throw new FhirError('invalid', `not FHIRPath from character ${at + 1} on`);
    tokens.push({ kind: kind as Token['kind'], text });
  }
  return tokens;
}

/** The token at or after `at` that is not space, and where it stands. */
function significant(tokens: readonly Token[], at: number): { token: Token | undefined; at: number } {
  let next = at;
  while (tokens[next]?.kind === 'space') next++;
  return { token: tokens[next], at: next };
}

function isAfterDot(tokens: readonly Token[], at: number): boolean {
  let before = at - 1;
  while (tokens[before]?.kind === 'space') before--;
  return tokens[before]?.text === '.';
}

// ---- variables ----

const ROW_INDEX = 'rowIndex';
const variables: ReadonlySet<string> = new Set([
  ROW_INDEX,
  'resource',
  'rootResource',
  'context',
  'ucum',
  'sct',
  'loinc',
]);

/** True for names that constants cannot have, because they mean something already. */
export const isVariable = (name: string): boolean => variables.has(name);

function variableText(text: string, { constants }: ExpressionScope): string {
  const name = text.slice(1).replace(/^(['`])(.*)\1$/s, '$2');
  const literal = constants.get(name);
  if (literal !== undefined) return literal;
  if (variables.has(name) || /^(?:vs|ext)-/.test(name)) return text;
  throw unknownName(`%${name}`, 'a constant of this view or a variable', [...constants.keys(), ...variables], name);
}

// ---- types ----

/** FHIRPath's own. */
const systemTypes: ReadonlySet<string> = new Set([
  'Any',
  'Boolean',
  'String',
  'Integer',
  'Long',
  'Decimal',
  'Date',
  'DateTime',
  'Time',
  'Quantity',
]);

/** `Quantity`, `FHIR.Quantity`, `System.String`, and where it ends. */
function typeNameAt(tokens: readonly Token[], at: number): { name: string; end: number } {
  const first = significant(tokens, at);
  const dot = significant(tokens, first.at + 1);
  const last = significant(tokens, dot.at + 1);
  const name = first.token?.text.replaceAll('`', '') ?? '';
  if (dot.token?.text !== '.' || (name !== 'FHIR' && name !== 'System')) return { name, end: first.at + 1 };
  return { name: `${name}.${last.token?.text.replaceAll('`', '') ?? ''}`, end: last.at + 1 };
}

function checkType(name: string, { definitions }: ExpressionScope): void {
  if (name.startsWith('System.') ? systemTypes.has(name.slice('System.'.length)) : systemTypes.has(name)) return;
  if (definitions.type(name.replace(/^FHIR\./, '')) !== undefined) return;
  throw new FhirError('invalid', `"${shown(name)}" is not a type of FHIR R4`);
}

/** `DateTime` and `Instant`, as many views have it, for `dateTime` and `instant`: elements have types of FHIR. */
function elementType(name: string, { definitions }: ExpressionScope): string {
  const own = name.replace(/^FHIR\./, '');
  const lower = own.charAt(0).toLowerCase() + own.slice(1);
  if (definitions.type(own) === undefined && definitions.type(lower) !== undefined) return lower;
  return own;
}

// ---- functions ----

const functions: ReadonlySet<string> = new Set(
  `abs aggregate all allFalse allTrue anyFalse anyTrue as avg ceiling children coalesce combine comparable contains
  convertsToBoolean convertsToDate convertsToDateTime convertsToDecimal convertsToInteger convertsToLong
  convertsToQuantity convertsToString convertsToTime count dateOf dayOf decode defineVariable descendants distinct empty
  encode endsWith escape exclude exists exp extension first floor getReferenceKey getResourceKey getValue hasValue
  highBoundary hourOf iif indexOf intersect is isDistinct join last lastIndexOf length ln log lowBoundary lower matches
  matchesFull max millisecondOf min minuteOf monthOf not now ofType ordinal power repeat replace replaceMatches resolve
  round secondOf select single skip sort split sqrt startsWith subsetOf substring sum supersetOf tail take timeOf
  timeOfDay timezoneOffsetOf toBoolean toChars toDate toDateTime toDecimal toInteger toLong toQuantity toString toTime
  today trim truncate type unescape union upper where yearOf`.split(/\s+/),
);

interface Call {
  /** What is written in its place. */
  text: string;
  /** Index of the token after it. */
  end: number;
  /** For getReferenceKey(). */
  key?: { type?: string };
}

/** A call at `at` that is written otherwise; undefined for any other token. */
function callAt(tokens: readonly Token[], at: number, scope: ExpressionScope): Call | undefined {
  const { kind, text: name } = tokens[at] as Token;
  const open = significant(tokens, at + 1);
  if (kind !== 'name' || open.token?.text !== '(') return undefined;
  if (operators.has(name) && !isAfterDot(tokens, at)) return undefined;
  if (!functions.has(name)) throw unknownName(`${name}()`, 'a function of FHIRPath', functions, name);
  const inner = open.at + 1;
  switch (name) {
    case 'getResourceKey':
      return { text: 'ofType(Resource).id', end: closed(tokens, inner, `${name}() takes nothing`) };
    case 'getReferenceKey':
      return referenceKeyCall(tokens, inner, scope);
    case 'lowBoundary':
    case 'highBoundary':
      return boundaryCall(tokens, name, inner);
    case 'ofType':
    case 'as':
    case 'is':
      return typeCall(tokens, name, inner, scope);
    default:
      return undefined;
  }
}

/** They may stand before a parenthesis as well. */
const operators: ReadonlySet<string> = new Set([
  'and',
  'or',
  'xor',
  'implies',
  'in',
  'contains',
  'div',
  'mod',
  'is',
  'as',
]);

function closed(tokens: readonly Token[], at: number, problem: string): number {
  const close = significant(tokens, at);
  if (close.token?.text !== ')') throw new FhirError('invalid', problem);
  return close.at + 1;
}

function typeCall(tokens: readonly Token[], name: string, inner: number, scope: ExpressionScope): Call {
  const type = typeNameAt(tokens, inner);
  const end = closed(tokens, type.end, `${name}() takes the name of a type`);
  const written = name === 'ofType' && !type.name.startsWith('System.') ? elementType(type.name, scope) : type.name;
  checkType(written, scope);
  return { text: `${name}(${written})`, end };
}

/** The id within a local reference, as the key that getResourceKey() gives for the resource itself is its id. */
function referenceKeyCall(tokens: readonly Token[], inner: number, scope: ExpressionScope): Call {
  const first = significant(tokens, inner);
  const problem = 'getReferenceKey() takes the name of a resource type or nothing';
  const isGiven = first.token?.text !== ')';
  const type = isGiven ? typeNameAt(tokens, inner) : undefined;
  const name = type?.name.replace(/^FHIR\.|^'|'$/g, '');
  const end = closed(tokens, type?.end ?? inner, problem);
  if (name !== undefined && !scope.definitions.isResourceType(name)) {
    throw unknownName(name, 'a resource type of FHIR R4', scope.definitions.resourceTypes, name);
  }
  const local = textLiteral(localReference(scope.baseUrl, name));
  return {
    text: `select(reference.where(matches(${local})).replaceMatches(${local}, '$1'))`,
    end,
    key: name === undefined ? {} : { type: name },
  };
}

function localReference(baseUrl: string, type = '[A-Z][A-Za-z]+'): string {
  const base = baseUrl.replace(/[^A-Za-z0-9]/g, (character) => (character === '^' ? '\\^' : `[${character}]`));
  return `^(?:${base}/)?${type}/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?$`;
}

/**
 * The boundaries of a Period are those of its ends. A dateTime without a zone may be meant in any, so that its earliest
 * instant is in the zone that is furthest ahead, https://hl7.org/fhirpath/#lowboundaryprecision-integer-decimal--date--datetime--time
 */
function boundaryCall(tokens: readonly Token[], name: 'lowBoundary' | 'highBoundary', inner: number): Call {
  const first = significant(tokens, inner);
  const precision = first.token !== undefined && /^\d+$/.test(first.token.text) ? first.token.text : '';
  const end = closed(tokens, precision === '' ? inner : first.at + 1, `${name}() takes a whole number or nothing`);
  const [bound, zone] = name === 'lowBoundary' ? ['start', '+14:00'] : ['end', '-12:00'];
  const own = `iif($this is FHIR.Period, $this.${bound}, $this).${name}(${precision})`;
  const isWithoutZone = `$this is DateTime and $this.toString().matches('T[0-9:.]+$')`;
  return {
    text: `select(${own}).select(iif(${isWithoutZone}, ($this.toString() & '${zone}').toDateTime(), $this))`,
    end,
  };
}

// ---- messages ----

function unknownName(shownName: string, what: string, accepted: Iterable<string>, name: string): FhirError {
  const near = nearest(name, accepted);
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
  return new FhirError('invalid', `"${shown(shownName)}" is not ${what}.${hint}`);
}

const shown = (text: string): string => text.slice(0, 60);
