// What a search of AuditEvents compares in each event: codes, texts, URIs and identifiers, by the name of the parameter.
// https://hl7.org/fhir/R4/auditevent.html#search
import type { AuditEvent, AuditEventEntity, Identifier } from 'fhir/r4.js';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { literalValue, splitUnescaped } from '../search/query.ts';
import type { Rendered } from './audit-event.ts';

export type Matches = (rendered: Rendered) => boolean;

type Coded = { system?: string | undefined; code?: string | undefined };

/** Codes of an event that a token parameter looks at. */
const tokens: Readonly<Record<string, (event: AuditEvent) => readonly Coded[]>> = {
  action: ({ action }) => [{ code: action }],
  outcome: ({ outcome }) => [{ code: outcome }],
  type: ({ type }) => [type],
  subtype: ({ subtype = [] }) => subtype,
  'agent-role': ({ agent }) => agent.flatMap(({ role = [] }) => role.flatMap(({ coding = [] }) => coding)),
  altid: ({ agent }) => agent.map(({ altId }) => ({ code: altId })),
  site: ({ source }) => [{ code: source.site }],
  'entity-type': ({ entity = [] }) => entity.flatMap(({ type }) => type ?? []),
  'entity-role': ({ entity = [] }) => entity.flatMap(({ role }) => role ?? []),
};

/** Texts that a string parameter compares the beginning with. */
const strings: Readonly<Record<string, (event: AuditEvent) => readonly (string | undefined)[]>> = {
  address: ({ agent }) => agent.map(({ network }) => network?.address),
  'agent-name': ({ agent }) => agent.map(({ name }) => name),
  'entity-name': ({ entity = [] }) => entity.map(({ name }) => name),
};

const uris: Readonly<Record<string, (event: AuditEvent) => readonly string[]>> = {
  policy: ({ agent }) => agent.flatMap(({ policy = [] }) => policy),
  _profile: ({ meta }) => meta?.profile ?? [],
};

/** Identifiers that an event tells itself. */
const identifiers: Readonly<Record<string, (event: AuditEvent) => readonly (Identifier | undefined)[]>> = {
  'agent.identifier': ({ agent }) => agent.map(({ who }) => who?.identifier),
  'patient.identifier': () => [],
  'entity.identifier': ({ entity = [] }) => entity.map(({ what }) => what?.identifier),
  'source.identifier': ({ source }) => [source.observer.identifier],
};

/** Names of the parameters that `tokenCheck` and `textCheck` know. */
export const COMPARED: readonly string[] = [...Object.keys(tokens), ...Object.keys(strings), ...Object.keys(uris)];

/** The values of a parameter between commas. */
export function alternatives(name: string, value: string): string[] {
  const values = splitUnescaped(value, ',').map(literalValue);
  if (values.length > limits.orValuesMax)
    throw new FhirError('too-costly', `"${name}" takes at most ${limits.orValuesMax} values.`);
  return values;
}

/** Of the event itself, or of what its agents and entities refer to. */
export function identifierCheck(name: string, values: readonly string[], references: readonly string[]): Matches {
  const wanted = values.map(codedIn);
  const referred = (event: AuditEvent): readonly string[] =>
    name === 'agent.identifier'
      ? event.agent.map(({ who }) => who?.reference ?? '')
      : (event.entity ?? []).map((one) => unversioned(one));
  return ({ event }) => {
    const own = identifiers[name]?.(event) ?? [];
    const hasOwn = own.some(
      (one) =>
        one?.value !== undefined && wanted.some((asked) => isSame({ system: one.system, code: one.value }, asked)),
    );
    return hasOwn || (name !== 'source.identifier' && referred(event).some((one) => references.includes(one)));
  };
}

/** A string parameter: "equals or starts with", whatever the case. A uri is compared as it is. undefined: it is neither. */
export function textCheck(name: string, value: string): Matches | undefined {
  const textsOf = Object.hasOwn(strings, name) ? strings[name] : undefined;
  const urisOf = Object.hasOwn(uris, name) ? uris[name] : undefined;
  if (textsOf !== undefined) {
    const wanted = alternatives(name, value).map((one) => one.toLowerCase());
    return ({ event }) => textsOf(event).some((text) => wanted.some((one) => text?.toLowerCase().startsWith(one)));
  }
  if (urisOf === undefined) return undefined;
  const wanted = alternatives(name, value);
  return ({ event }) => urisOf(event).some((uri) => wanted.includes(uri));
}

/** A token parameter, perhaps with `:not`. */
export function tokenCheck(asked: string, value: string): Matches | undefined {
  const name = asked.replace(/:not$/, '');
  const codesOf = Object.hasOwn(tokens, name) ? tokens[name] : undefined;
  if (codesOf === undefined) return undefined;
  const wanted = alternatives(name, value).map(codedIn);
  const isNot = asked !== name;
  return ({ event }) => codesOf(event).some((coding) => wanted.some((one) => isSame(coding, one))) !== isNot;
}

function codedIn(text: string): Coded {
  const bar = text.indexOf('|');
  return bar < 0 ? { code: text } : { system: text.slice(0, bar), code: text.slice(bar + 1) };
}

const isSame = (coding: Coded, wanted: Coded): boolean =>
  (wanted.code === '' || wanted.code === coding.code) &&
  (wanted.system === undefined || wanted.system === (coding.system ?? ''));

export const unversioned = ({ what }: AuditEventEntity): string => what?.reference?.split('/_history/')[0] ?? '';
