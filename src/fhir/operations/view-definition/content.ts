// Resources as a view reads them: JSON whose decimals know how they were written, as far as a number would not tell.
// https://hl7.org/fhir/R4/datatypes.html#decimal
import { writtenDecimal, writtenText } from '../../../model/path.ts';

/**
 * The value of a JSON text that was checked before. A number that JavaScript would write differently (1.50, 1e3,
 * 0.1234567890123456789) is an object in its place, which FHIRPath takes for the decimal that it is.
 */
export function parseContent(text: string): unknown {
  if (!oddNumber.test(text)) return JSON.parse(text);
  return json.parse(text, (_name, value, { source }) =>
    typeof value !== 'number' || source === undefined || source === String(value) ? value : writtenDecimal(source),
  );
}

/** Perhaps such a number: zeros after the point, an exponent, more than 15 digits, minus zero; also within strings. */
const oddNumber = /\.\d*0\s*[,}\]]|\d[eE][+-]?\d+\s*[,}\]]|[\d.]{16}\s*[,}\]]|-0\s*[,}\]]/;

/** The JSON text of a value out of such content. */
export function contentText(value: unknown): string {
  return JSON.stringify(value, function write(this: Record<string, unknown>, name: string, plain: unknown): unknown {
    // What stands under the name, before its toJSON.
    const text = writtenText(this[name]);
    return text === undefined ? plain : json.rawJSON(text);
  });
}

/** The parts of JSON that TypeScript does not know yet: https://tc39.es/proposal-json-parse-with-source/ */
const json = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): object;
};
