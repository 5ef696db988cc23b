// Security labels that restrict a resource: who may see it is narrowed, whatever else a role or token allows.
// https://hl7.org/fhir/R4/security-labels.html
import type { Condition, Key } from '../../store/store.ts';
import { key, not, or } from '../search/conditions.ts';
import { keys, parameterPrefix } from '../search/keys.ts';

const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';

export interface Label {
  system: string;
  code: string;
}

/** Restricted and very restricted, and what ActCode calls sensitive about a person's health. */
const RESTRICTED: readonly Label[] = [
  ...['R', 'V'].map((code) => ({ system: CONFIDENTIALITY, code })),
  ...['ETH', 'GDIS', 'HIV', 'MST', 'PSY', 'SCA', 'SDV', 'SEX', 'SPI', 'BH', 'COGN', 'DVD', 'EMOTDIS', 'MH'].map(
    (code) => ({ system: ACT_CODE, code }),
  ),
  ...['PSYTHPN', 'SUD', 'ETHUD', 'OPIOIDUD', 'STD', 'TBOO', 'VIO', 'SICKLE', 'DIA'].map((code) => ({
    system: ACT_CODE,
    code,
  })),
];

/** Not to be disclosed to the patient, family or caregivers. */
const NOT_TO_PATIENT: readonly Label[] = [{ system: ACT_CODE, code: 'NOPAT' }];

/** The restricted labels as keys of a type, for finding them in a row. */
export function restrictedKeys(type: string): readonly Key[] {
  let known = restrictedOf.get(type);
  if (known === undefined) {
    known = labelKeys(type, RESTRICTED);
    restrictedOf.set(type, known);
  }
  return known;
}

const restrictedOf = new Map<string, readonly Key[]>();

/** A resource with a restricted label has this key as well: most have none, and one look tells. */
export const RESTRICTED_KEY: Key = '@restricted';

/** The key that its labels give a resource. */
export function restrictionKeys(type: string, found: ReadonlySet<Key>): Key[] {
  return restrictedKeys(type).some((label) => found.has(label)) ? [RESTRICTED_KEY] : [];
}

export const labelPrefix = (type: string): Key => `${parameterPrefix(type, '_security')}t`;

const labelKeys = (type: string, labels: readonly Label[]): Key[] =>
  labels.map(({ system, code }) => keys.token(parameterPrefix(type, '_security'), code, system));

/** No restricted label but those that are cleared. `clearance`: codes, or `all`. */
export function clearedOf(type: string, clearance: ReadonlySet<string> | 'all'): Condition {
  if (clearance === 'all') return { kind: 'all' };
  const closed = RESTRICTED.filter(({ code }) => !clearance.has(code));
  const isOpen = not(key(RESTRICTED_KEY));
  return closed.length === RESTRICTED.length ? isOpen : or([isOpen, none(type, closed)]);
}

/** Whether conditions on labels let nothing through that has a restricted one. */
export function hidesRestricted(condition: Condition): boolean {
  if (condition.kind === 'and') return condition.of.some(hidesRestricted);
  return condition.kind === 'not' && condition.of.kind === 'key' && condition.of.key === RESTRICTED_KEY;
}

/** Nothing that is kept from the patient. */
export const openToPatient = (type: string): Condition => none(type, NOT_TO_PATIENT);

function none(type: string, labels: readonly Label[]): Condition {
  return labels.length === 0 ? { kind: 'all' } : not(or(labelKeys(type, labels).map(key)));
}
