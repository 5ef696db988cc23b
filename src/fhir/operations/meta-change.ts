// Adding labels to a Meta and taking them away, in its text. "Profiles, tags, and security labels are sets, and duplicates
// are not created. The identity of a tag or security label is the system+code … For profiles matching is based on the full
// URL." https://hl7.org/fhir/R4/resource-operation-meta-add.html
import { FhirError } from '../../base/outcome.ts';
import { elementSpans, memberSpans } from '../../model/json.ts';

export type Change = 'add' | 'delete';

/** The members of a Meta that are sets of labels. */
export const LABELS = ['profile', 'security', 'tag'] as const;
export type LabelSet = (typeof LABELS)[number];

export interface Label {
  /** JSON as it stands: a string, or a Coding. */
  text: string;
  /** Labels with the same identity are the same. */
  identity: string;
}

/** The text of the meta after the change; undefined when it leaves everything as it is. Other members stay as they are. */
export function withLabels(meta: Uint8Array, given: Uint8Array, how: Change): Uint8Array | undefined {
  const sets = LABELS.map((name) => ({ name, given: givenLabels(given, name) }));
  if (sets.every((set) => set.given.length === 0)) {
    throw new FhirError('invalid', 'The meta has no labels; give it a profile, tag or security.', {
      expression: 'Parameters.parameter[0].value',
    });
  }
  const members = new Map(textsOf(meta));
  let isChanged = false;
  for (const { name, given: labels } of sets) {
    const edit = how === 'add' ? added(meta, name, labels) : deleted(meta, name, labels);
    if (edit === undefined) continue;
    isChanged = true;
    for (const [member, texts] of edit) {
      if (texts.some((text) => text !== 'null')) members.set(member, `[${texts.join(',')}]`);
      else members.delete(member);
    }
  }
  if (!isChanged) return undefined;
  return Buffer.from(`{${[...members].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`);
}

/** The labels of one set in a Meta's text; what has no identity, such as a Coding with a text alone, is none. */
export function labelsOf(meta: Uint8Array, set: LabelSet): Label[] {
  return elementsOf(meta, set).flatMap((text) => {
    const identity = identityOf(JSON.parse(text), set);
    return identity === undefined ? [] : [{ text, identity }];
  });
}

/** The same of what a client sends. Throws FhirError('invalid') for anything else in the set. */
function givenLabels(meta: Uint8Array, set: LabelSet): Label[] {
  const labels = labelsOf(meta, set);
  if (labels.length === elementsOf(meta, set).length) return labels;
  const accepted = set === 'profile' ? 'canonical URLs' : 'Codings with a code';
  throw new FhirError('invalid', `"meta.${set}" takes ${accepted} alone.`, {
    expression: `Parameters.parameter[0].value.${set}`,
  });
}

function identityOf(value: unknown, set: LabelSet): string | undefined {
  if (set === 'profile') return typeof value === 'string' ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const { system, code } = value as { system?: unknown; code?: unknown };
  return typeof code === 'string' ? `${typeof system === 'string' ? system : ''}|${code}` : undefined;
}

/** Members with the texts of their elements, as they are to become; `_profile` holds what belongs to `profile`'s elements. */
type Edit = [member: string, texts: string[]][];

function added(meta: Uint8Array, set: LabelSet, labels: readonly Label[]): Edit | undefined {
  const known = new Set(identitiesIn(meta, set));
  const fresh = labels.filter(({ identity }) => !known.has(identity) && known.add(identity));
  if (fresh.length === 0) return undefined;
  const edit: Edit = [[set, [...elementsOf(meta, set), ...fresh.map(({ text }) => text)]]];
  const siblings = elementsOf(meta, `_${set}`);
  if (siblings.length > 0) edit.push([`_${set}`, [...siblings, ...fresh.map(() => 'null')]]);
  return edit;
}

function deleted(meta: Uint8Array, set: LabelSet, labels: readonly Label[]): Edit | undefined {
  const unwanted = new Set(labels.map(({ identity }) => identity));
  const keeps = identitiesIn(meta, set).map((identity) => !unwanted.has(identity ?? ''));
  if (keeps.every((keep) => keep)) return undefined;
  return [set, `_${set}`].map((member) => [member, elementsOf(meta, member).filter((_, at) => keeps[at] !== false)]);
}

/** A stored label may have no identity: a Coding with a text alone. */
const identitiesIn = (meta: Uint8Array, set: LabelSet): (string | undefined)[] =>
  elementsOf(meta, set).map((text) => identityOf(JSON.parse(text), set));

function elementsOf(meta: Uint8Array, member: string): string[] {
  const span = memberSpans(meta).get(member);
  if (span === undefined) return [];
  return elementSpans(meta, span.valueStart, span.valueEnd).map(({ start, end }) => textAt(meta, start, end));
}

function* textsOf(object: Uint8Array): Generator<[string, string]> {
  for (const [name, { valueStart, valueEnd }] of memberSpans(object))
    yield [name, textAt(object, valueStart, valueEnd)];
}

const textAt = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.subarray(start, end)).toString('utf8');
