// What ties a Binary to other resources, as keys: the resource that its securityContext names, and on the other side the
// Binaries that a resource's attachments name. Access to a Binary is decided by these.
// https://hl7.org/fhir/R4/binary.html#security, https://hl7.org/fhir/R4/datatypes.html#Attachment
import type { Definitions } from '../../model/definitions.ts';
import type { Key } from '../../store/store.ts';
import { type IndexContext, isText, referenceTarget } from './values.ts';

/** Beginning of the key that names the security context of a Binary: "@ctx:Patient/1". */
export const contextPrefix: Key = '@ctx:';

/** The security context is none of the resources here: elsewhere, contained, an identifier, or the Binary's like. */
const UNKNOWN_CONTEXT: Key = `${contextPrefix}?`;

/** Beginning of the keys that name the Binaries attached to an element: "@att:Media.content:Binary/1". */
export const attachmentPrefix = (element: string): Key => `@att:${element}:`;

/** Beginning of all of them that a type can have. */
export const attachmentsPrefix = (type: string): Key => `@att:${type}.`;

/** Beginning of the keys that say of which types contexts are, and which elements have Binaries attached. */
export const tiePrefix: Key = '@tie:';

/** What ties Binaries to other resources: `context` by a type, `attachment` by an element such as `Media.content`. */
export type Tie = { kind: 'context'; type: string } | { kind: 'attachment'; element: string };

export const tieKey = (tie: Tie): Key =>
  tie.kind === 'context' ? `${tiePrefix}context:${tie.type}` : `${tiePrefix}attachment:${tie.element}`;

/** The tie that a key tells of, as tieKey makes them. */
export function tieOf(key: Key): Tie | undefined {
  const [, kind, name] = /^@tie:(context|attachment):(.+)$/.exec(key) ?? [];
  if (name === undefined) return undefined;
  return kind === 'context' ? { kind, type: name } : { kind: 'attachment', element: name };
}

/** The keys of a Binary's securityContext. A version of a resource, or its URL on this server, is that resource. */
export function contextKeys(binary: object, context: IndexContext): Key[] {
  const { securityContext } = binary as { securityContext?: unknown };
  if (securityContext === undefined || securityContext === null) return [];
  const { reference } = securityContext as { reference?: unknown };
  const target = isText(reference) ? referenceTarget(reference, context) : undefined;
  const [, type] = /^([A-Z][A-Za-z]+)\/[A-Za-z0-9.-]{1,64}$/.exec(target ?? '') ?? [];
  const isHere = type !== undefined && type !== 'Binary' && context.definitions.isResourceType(type);
  if (target === undefined || !isHere) return [UNKNOWN_CONTEXT];
  return [`${contextPrefix}${target}`, tieKey({ kind: 'context', type })];
}

/** Ids of the Binaries that the keys of a resource of a type name as attached to it. */
export function attachedBinaries(type: string, keys: readonly Key[]): string[] {
  const prefix = attachmentsPrefix(type);
  const found = keys.filter((key) => key.startsWith(prefix));
  return [...new Set(found.map((key) => key.slice(key.lastIndexOf(BINARY) + BINARY.length)))];
}

const BINARY = ':Binary/';

// ---- where a type has attachments ----

/** The members through which attachments are reached. */
type Holder = ReadonlyMap<string, Holder | 'attachment'>;

/** Adds the keys of a resource's attachments. */
export type AttachmentIndexer = (resource: object, context: IndexContext, keys: Set<Key>) => void;

/** undefined for a type that has no attachments. What extensions and contained resources attach opens nothing. */
export function attachmentIndexer(definitions: Definitions, type: string): AttachmentIndexer | undefined {
  const holder = holderOf(definitions, type);
  if (holder === undefined) return undefined;
  const elements = [...holder].map(([name, within]) => ({ name, within, element: `${type}.${name}` }));
  return (resource, context, keys) => {
    for (const { name, within, element } of elements) {
      const value = (resource as Record<string, unknown>)[name];
      if (value !== undefined) addAttachments(value, within, element, context, keys);
    }
  };
}

// As deep as the resource, whose depth the structure check has bounded.
function addAttachments(
  value: unknown,
  within: Holder | 'attachment',
  element: string,
  context: IndexContext,
  keys: Set<Key>,
): void {
  if (Array.isArray(value)) {
    for (const one of value) addAttachments(one, within, element, context, keys);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  if (within !== 'attachment') {
    for (const [name, next] of within) {
      const inner = (value as Record<string, unknown>)[name];
      if (inner !== undefined) addAttachments(inner, next, element, context, keys);
    }
    return;
  }
  const { url } = value as { url?: unknown };
  const target = isText(url) ? referenceTarget(url, context) : undefined;
  if (target?.startsWith('Binary/') !== true) return;
  keys.add(`${attachmentPrefix(element)}${target}`);
  keys.add(tieKey({ kind: 'attachment', element }));
}

function holderOf(definitions: Definitions, root: string): Holder | undefined {
  const members = membersBelow(definitions, root);
  const leads = new Set([ATTACHMENT]);
  for (let before = 0; before < leads.size; ) {
    before = leads.size;
    for (const [type, below] of members) if (below.some(([, inner]) => leads.has(inner))) leads.add(type);
  }
  if (!leads.has(root)) return undefined;
  const holders = new Map<string, Map<string, Holder | 'attachment'>>();
  for (const type of members.keys()) if (leads.has(type)) holders.set(type, new Map());
  for (const [type, holder] of holders) {
    for (const [name, inner] of members.get(type) ?? []) {
      const within = inner === ATTACHMENT ? 'attachment' : holders.get(inner);
      if (within !== undefined) holder.set(name, within);
    }
  }
  return holders.get(root);
}

const ATTACHMENT = 'Attachment';

/** What is not looked into: extensions, resources within, and the data types' own examples and fixed values. */
const PASSED: ReadonlySet<string> = new Set(['Extension', 'Resource', 'ElementDefinition', 'Meta', 'Narrative']);

/** Names and types of the members of a type and of the types below it. */
function membersBelow(definitions: Definitions, root: string): Map<string, [name: string, type: string][]> {
  const found = new Map<string, [string, string][]>();
  const open = [root];
  for (let type = open.pop(); type !== undefined; type = open.pop()) {
    if (found.has(type) || type === ATTACHMENT) continue;
    const members = [...(definitions.type(type)?.members.values() ?? [])]
      .filter((member) => !PASSED.has(member.type))
      .map((member): [string, string] => [member.name, member.type]);
    found.set(type, members);
    for (const [, inner] of members) open.push(inner);
  }
  return found;
}
