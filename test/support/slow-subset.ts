// What _summary and _elements leave of a resource. https://hl7.org/fhir/R4/search.html#summary
import type { Definitions, Member } from '../../src/model/definitions.ts';
import type { SlowSelection } from './slow-criteria.ts';

type Json = Record<string, unknown>;

const SUBSETTED = {
  system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  code: 'SUBSETTED',
  display: 'subsetted',
};

export function subsetOf(resource: object, selection: SlowSelection, definitions: Definitions): Json {
  const all = resource as Json & { resourceType: string; meta?: { tag?: unknown[] } };
  const kept = keptMembers(all, all.resourceType, ['resourceType', 'id'], selection, definitions);
  return { ...kept, meta: { ...all.meta, tag: [...(all.meta?.tag ?? []), SUBSETTED] } };
}

function keptMembers(
  object: Json,
  type: string,
  always: readonly string[],
  selection: SlowSelection,
  definitions: Definitions,
): Json {
  const kept: Json = {};
  const members = definitions.type(type)?.members;
  for (const [name, value] of Object.entries(object)) {
    const member = members?.get(name.replace(/^_/, ''));
    if (!always.includes(name) && !isAsked(name, member, selection)) continue;
    const isInline = selection.kind === 'true' && member?.type.includes('.') === true;
    const part = isInline ? inner(value, member?.type ?? '', selection, definitions) : value;
    if (!isNothing(part)) kept[name] = part;
  }
  return kept;
}

function isAsked(name: string, member: Member | undefined, selection: SlowSelection): boolean {
  const isNeeded = (member?.min ?? 0) > 0 || member?.isModifier === true;
  switch (selection.kind) {
    case 'data':
      return name !== 'text';
    case 'text':
      return name === 'text' || isNeeded;
    case 'true':
      return member?.isSummary === true || isNeeded;
    case 'elements':
      return isNeeded || selection.elements.some((one) => one === member?.name || one === member?.choice);
  }
}

function inner(value: unknown, type: string, selection: SlowSelection, definitions: Definitions): unknown {
  if (Array.isArray(value)) {
    return value.map((one) => inner(one, type, selection, definitions)).filter((one) => !isNothing(one));
  }
  if (typeof value !== 'object' || value === null || type.startsWith('System.')) return value;
  return keptMembers(value as Json, type, ['id'], selection, definitions);
}

/** What is left of an element of which nothing belongs to the summary. */
const isNothing = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;
