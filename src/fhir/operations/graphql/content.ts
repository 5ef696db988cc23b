// Resources as a query sees them: parsed, with the numbers that JavaScript would write in another way kept as text.

/** A resource, or any object within one. */
export type Content = Record<string, unknown>;

export interface Resource extends Content {
  resourceType: string;
  id?: string;
}

interface RawJson {
  rawJSON: string;
}

declare global {
  interface JSON {
    /** A number that JSON.stringify writes as `text`. */
    rawJSON(text: string): RawJson;
    isRawJSON(value: unknown): value is RawJson;
  }
}

/**
 * The content of a JSON text. 1.50 stays 1.50: where the shortest text of a number is another, the number is an object
 * that JSON.stringify writes as it was sent. The text has been checked when it was stored.
 */
export function parseContent(bytes: Uint8Array): Content {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'), asSent) as Content;
}

function asSent(_name: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined || context.source === String(value)) return value;
  return JSON.rawJSON(context.source);
}

/** The same content with all numbers as numbers, for FHIRPath. */
export function withNumbers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (JSON.isRawJSON(value)) return Number(value.rawJSON);
  if (Array.isArray(value)) return value.map(withNumbers);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withNumbers(one)]));
}

export function isContent(value: unknown): value is Content {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

export function isResource(value: unknown): value is Resource {
  return isContent(value) && typeof value.resourceType === 'string';
}
