// Constants of a view: values that stand in its expressions as %name, as the FHIRPath literals they are replaced by.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#using-constants
import { primitiveProblem } from '../../../model/primitives.ts';

/** %name → FHIRPath literal. */
export type Constants = ReadonlyMap<string, string>;

/** How a type is written in FHIRPath. https://hl7.org/fhirpath/N1/#literals */
const literals: Readonly<Record<string, (value: unknown) => string>> = {
  base64Binary: textLiteral,
  boolean: String,
  canonical: textLiteral,
  code: textLiteral,
  date: (value) => `@${value}`,
  dateTime: timeLiteral,
  decimal: numberLiteral,
  id: textLiteral,
  instant: timeLiteral,
  integer: numberLiteral,
  integer64: numberLiteral,
  oid: textLiteral,
  positiveInt: numberLiteral,
  string: textLiteral,
  time: (value) => `@T${value}`,
  unsignedInt: numberLiteral,
  uri: textLiteral,
  url: textLiteral,
  uuid: textLiteral,
};

/**
 * The literal for the value[x] of a constant. `problem` is a sentence for the client, where there is none or several, or
 * its type cannot be a constant's or does not fit the value.
 */
export function constantLiteral(
  constant: Readonly<Record<string, unknown>>,
): { literal: string } | { problem: string } {
  const names = Object.keys(constant).filter((name) => /^value[A-Z]/.test(name));
  const [name] = names;
  if (name === undefined || names.length > 1) {
    return { problem: `A constant has one value[x]; this one has ${names.length === 0 ? 'none' : names.join(', ')}.` };
  }
  const type = Object.keys(literals).find((candidate) => `value${upperFirst(candidate)}` === name);
  const literal = type === undefined ? undefined : literals[type];
  if (type === undefined || literal === undefined) {
    return { problem: `${name} is not accepted; a constant is one of ${Object.keys(literals).join(', ')}.` };
  }
  const value = constant[name];
  const problem = type === 'integer64' ? integer64Problem(value) : primitiveProblem(type, value);
  return problem === undefined ? { literal: literal(value) } : { problem: `${name}: ${problem}.` };
}

/** JSON writes an integer64 as a string, https://hl7.org/fhir/R5/json.html#primitive; numbers are understood as well. */
function integer64Problem(value: unknown): string | undefined {
  if (Number.isSafeInteger(value) || (typeof value === 'string' && /^-?\d{1,19}$/.test(value))) return undefined;
  return 'a whole number of 64 bits is expected, in double quotes';
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', "'": "\\'", '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A FHIRPath string. */
export function textLiteral(value: unknown): string {
  return `'${String(value).replace(/[\\'\n\r\t]/g, (character) => escapes[character] ?? character)}'`;
}

/** In parentheses where it is negative, because FHIRPath's sign is an operator. */
function numberLiteral(value: unknown): string {
  const digits =
    typeof value === 'number' ? value.toLocaleString('en', { useGrouping: false, maximumFractionDigits: 20 }) : value;
  const text = String(digits);
  return text.startsWith('-') ? `(${text})` : text;
}

/** FHIRPath tells a dateTime from a date by its T. */
function timeLiteral(value: unknown): string {
  const text = String(value);
  return text.includes('T') ? `@${text}` : `@${text}T`;
}

const upperFirst = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
