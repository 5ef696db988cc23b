// What of a resource is sent: _summary and _elements, cut out of the stored text and tagged SUBSETTED, so that nobody
// takes the part for the whole. https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
import { FhirError } from '../base/outcome.ts';
import type { Definitions, Member, TypeDefinition } from '../model/definitions.ts';
import { elementSpans, memberSpans, type Span } from '../model/json.ts';
import { queryPairs, splitUnescaped } from './search/query.ts';

/**
 * `true`: the summary elements; `text`: narrative and mandatory elements; `data`: all but the narrative; `without`: all
 * but these, mandatory or not, because they are not to be seen.
 */
export type Selection =
  | { kind: 'true' | 'text' | 'data' }
  | { kind: 'elements' | 'without'; elements: readonly string[] };

const SUMMARIES = ['true', 'text', 'data', 'false'] as const;

/** What the query of a read asks for; undefined for all of it. Throws FhirError('invalid') naming what is accepted. */
export function selectionOf(type: string, query: string, definitions: Definitions): Selection | undefined {
  if (!query.includes('_summary') && !query.includes('_elements')) return undefined;
  let selection: Selection | undefined;
  for (const [name, value] of queryPairs(query)) {
    if (name === '_summary') {
      const kind = SUMMARIES.find((one) => one === value);
      if (kind === undefined) {
        throw new FhirError('invalid', `_summary takes one of ${SUMMARIES.join(', ')} here.`);
      }
      if (kind !== 'false') selection = { kind };
    }
    if (name === '_elements') selection = { kind: 'elements', elements: elementNames(value, [type], definitions) };
  }
  return selection;
}

/** The names in a value of `_elements`: elements at the top of one of the types. */
export function elementNames(value: string, types: readonly string[], definitions: Definitions): string[] {
  const names = splitUnescaped(value, ',').map((name) => {
    const trimmed = name.trim();
    const type = types.find((one) => trimmed.startsWith(`${one}.`));
    return type === undefined ? trimmed : trimmed.slice(type.length + 1);
  });
  const unknown = names.find((name) => !types.some((type) => hasElement(type, name, definitions)));
  if (unknown === undefined) return names;
  throw new FhirError(
    'invalid',
    `_elements: ${types.slice(0, 3).join(', ')} has no element "${unknown.slice(0, 40)}" at its top; names such as "meta" are accepted.`,
  );
}

function hasElement(type: string, name: string, definitions: Definitions): boolean {
  const members = definitions.type(type)?.members;
  return members?.has(name) === true || [...(members?.values() ?? [])].some(({ choice }) => choice === name);
}

/** The selected part of a stored body. */
export function subset(body: Uint8Array, selection: Selection, definitions: Definitions): Uint8Array {
  const spans = memberSpans(body);
  const typeSpan = spans.get('resourceType');
  const type = typeSpan && definitions.type(textOf(body, typeSpan).slice(1, -1));
  if (type === undefined) return body;
  const pieces: Piece[] = [];
  for (const [name, span] of spans) {
    if (name === 'meta') pieces.push(tagged(body, span));
    else if (name === 'resourceType' || name === 'id') pieces.push(memberText(body, span));
    else if (isWanted(name, type, selection)) {
      pieces.push(...wantedMember(body, name, span, type, selection, definitions));
    }
  }
  if (!spans.has('meta')) pieces.push(`"meta":{"tag":[${SUBSETTED}]}`);
  return objectOf(pieces);
}

const SUBSETTED_SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue';
const SUBSETTED = `{"system":"${SUBSETTED_SYSTEM}","code":"SUBSETTED","display":"subsetted"}`;

function isSubsetted(tag: string): boolean {
  const { system, code } = JSON.parse(tag) as { system?: unknown; code?: unknown };
  return system === SUBSETTED_SYSTEM && code === 'SUBSETTED';
}

type Piece = Uint8Array | string;

/** `{`, the members with commas between them, `}`. */
function objectOf(members: readonly Piece[]): Uint8Array {
  const parts = members.flatMap((member, at) => [at === 0 ? '{' : ',', member]);
  const all = members.length === 0 ? ['{', '}'] : [...parts, '}'];
  return Buffer.concat(all.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

const memberText = (body: Uint8Array, { nameStart, valueEnd }: Span): Uint8Array => body.subarray(nameStart, valueEnd);

const textOf = (body: Uint8Array, { valueStart, valueEnd }: Span): string =>
  Buffer.from(body.buffer, body.byteOffset + valueStart, valueEnd - valueStart).toString('utf8');

/** meta with the tag, once. */
function tagged(body: Uint8Array, span: Span): Piece {
  const members = memberSpans(body, span.valueStart, span.valueEnd);
  const tags = members.get('tag');
  const pieces: Piece[] = [];
  for (const [name, member] of members) {
    if (name !== 'tag') pieces.push(memberText(body, member));
  }
  const known = tags === undefined ? [] : elementSpans(body, tags.valueStart, tags.valueEnd);
  const list = known.map(({ start, end }) => Buffer.from(body.subarray(start, end)).toString('utf8'));
  const all = list.some(isSubsetted) ? list : [...list, SUBSETTED];
  pieces.push(`"tag":[${all.join(',')}]`);
  return Buffer.concat([Buffer.from('"meta":'), objectOf(pieces)]);
}

/** "Servers SHOULD always include mandatory and modifier elements." */
function isWanted(name: string, type: TypeDefinition, selection: Selection): boolean {
  const member = memberOf(type, name);
  const isNeeded = (member !== undefined && member.min > 0) || member?.isModifier === true;
  switch (selection.kind) {
    case 'data':
      return name !== 'text' && name !== '_text';
    case 'text':
      return name === 'text' || isNeeded;
    case 'true':
      return isNeeded || member?.isSummary === true;
    case 'without':
      return !selection.elements.some((element) => element === member?.name || element === member?.choice);
    case 'elements': {
      const { elements } = selection;
      return (
        isNeeded || (member !== undefined && (elements.includes(member.name) || elements.includes(member.choice ?? '')))
      );
    }
  }
}

/** The element of a member, also of the `_name` beside a primitive. */
const memberOf = (type: TypeDefinition, name: string): Member | undefined =>
  type.members.get(name.startsWith('_') ? name.slice(1) : name);

/**
 * A member as it stands, or for the summary only the summary elements of an element without a type of its own. None where
 * nothing is left: "objects are never empty".
 */
function wantedMember(
  body: Uint8Array,
  name: string,
  span: Span,
  type: TypeDefinition,
  selection: Selection,
  definitions: Definitions,
): Piece[] {
  const inline = selection.kind === 'true' ? inlineType(type, name, definitions) : undefined;
  if (inline === undefined) return [memberText(body, span)];
  const start = Buffer.from(body.subarray(span.nameStart, span.valueStart));
  if (body[span.valueStart] !== OPEN_ARRAY) {
    const element = summaryOf(body, span.valueStart, span.valueEnd, inline, definitions);
    return isEmpty(element) ? [] : [Buffer.concat([start, element])];
  }
  const elements = elementSpans(body, span.valueStart, span.valueEnd)
    .map(({ start: from, end }) => summaryOf(body, from, end, inline, definitions))
    .filter((element) => !isEmpty(element));
  if (elements.length === 0) return [];
  const list = elements.flatMap((element, at) => (at === 0 ? [element] : [Buffer.from(','), element]));
  return [Buffer.concat([start, Buffer.from('['), ...list, Buffer.from(']')])];
}

/** `{}`. */
const isEmpty = (element: Uint8Array): boolean => element.length === 2;

const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

function inlineType(type: TypeDefinition, name: string, definitions: Definitions): TypeDefinition | undefined {
  const member = type.members.get(name);
  return member?.type.includes('.') === true && !member.type.startsWith('System.')
    ? definitions.type(member.type)
    : undefined;
}

function summaryOf(
  body: Uint8Array,
  start: number,
  end: number,
  type: TypeDefinition,
  definitions: Definitions,
): Uint8Array {
  if (body[start] !== OPEN_OBJECT) return body.subarray(start, end);
  const selection: Selection = { kind: 'true' };
  const pieces: Piece[] = [];
  for (const [name, span] of memberSpans(body, start, end)) {
    if (name === 'id' || isWanted(name, type, selection)) {
      pieces.push(...wantedMember(body, name, span, type, selection, definitions));
    }
  }
  return objectOf(pieces);
}
