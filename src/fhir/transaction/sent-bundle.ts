// A Bundle to process, as its text: checked as a whole, its entries found but not parsed. It may have 64 MB, so that its
// parts are parsed one by one, with turns for others between them. https://hl7.org/fhir/R4/bundle.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Turn } from '../../base/slices.ts';
import { checkJson, listSpans } from '../../model/json.ts';

export interface SentBundle {
  bytes: Uint8Array;
  /** The Bundle with an empty list in place of its entries. */
  envelope: Readonly<Record<string, unknown>>;
  /** How many entries there are. */
  count: number;
  /** Where each stands in the text, up to as many as are processed; undefined when `entry` is no list. */
  entries: readonly { start: number; end: number }[] | undefined;
  turn: Turn;
}

/**
 * The Bundle in a body; undefined when it is no JSON object, whatever type that has. Throws FhirError('invalid') as
 * `parseJson` does, and FhirError('too-large') when there is as much around the entries as a resource may have.
 */
export async function sentBundle(
  bytes: Uint8Array,
  { entriesMax, turn }: { entriesMax: number; turn: Turn },
): Promise<SentBundle | undefined> {
  await checkJson(bytes, turn);
  const found = await listSpans(bytes, { name: 'entry', atMost: entriesMax }, turn);
  if (found === undefined) return undefined;
  const { members, list, count, elements } = found;
  const around: Uint8Array[] = [];
  for (const member of members) {
    around.push(around.length === 0 ? OPEN : COMMA);
    if (member === list) around.push(bytes.subarray(member.nameStart, member.valueStart), NO_ENTRIES);
    else around.push(bytes.subarray(member.nameStart, member.valueEnd));
  }
  around.push(members.length === 0 ? EMPTY : CLOSE);
  const aroundBytes = around.reduce((sum, part) => sum + part.length, 0);
  if (aroundBytes > limits.resourceBytesMax)
    throw new FhirError('too-large', `A Bundle has at most ${limits.resourceBytesMax} bytes besides its entries.`);
  const envelope = parsed(Buffer.concat(around, aroundBytes)) as SentBundle['envelope'];
  return { bytes, envelope, count, entries: list === undefined ? undefined : elements, turn };
}

/** Throws FhirError('invalid') for entries that are no list. */
export function requireList({ envelope, entries }: SentBundle): void {
  if (entries !== undefined || envelope.entry === undefined) return;
  throw new FhirError('invalid', 'Bundle.entry is a list.', { expression: 'Bundle.entry' });
}

const NO_ENTRIES = Buffer.from('[]');
const OPEN = Buffer.from('{');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from('}');
const EMPTY = Buffer.from('{}');

/** Value of a text, or a part of one, that was checked. */
export function parsed(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
}
