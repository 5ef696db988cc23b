// Whose data a resource is, read off its keys: the patients in whose compartments it is.
// https://hl7.org/fhir/R4/compartmentdefinition-patient.html
import { limits } from '../../base/limits.ts';
import type { Key } from '../../store/store.ts';
import type { FhirRequest } from '../interaction.ts';
import type { Interaction } from '../route.ts';
import { contextPrefix } from '../search/attachments.ts';
import { compartmentPrefix } from '../search/keys.ts';
import { queryPairs } from '../search/query.ts';
import { searchQuery } from '../search/search.ts';

/** A Binary whose security context is a patient is that patient's. */
const PATIENT_CONTEXT: Key = `${contextPrefix}Patient/`;

/** What to ask the store for with each row. */
export const PATIENT_KEYS: readonly Key[] = [compartmentPrefix, PATIENT_CONTEXT];

/** Adds the ids of the patients that the keys name. */
export function addPatients(keys: readonly Key[], patients: Set<string>): void {
  for (const key of keys) {
    if (key.startsWith(PATIENT_CONTEXT)) patients.add(key.slice(PATIENT_CONTEXT.length));
    if (!key.startsWith(compartmentPrefix)) continue;
    patients.add(key.slice(compartmentPrefix.length, key.indexOf('\t', compartmentPrefix.length)));
  }
}

/**
 * Adds the patients that a search names: who asks about somebody touches that person's data, also where nothing is
 * found. A value that is no plain id or reference names nobody here.
 */
export function addNamedPatients(interaction: Interaction, request: FhirRequest, patients: Set<string>): void {
  if (interaction.kind === 'search-compartment' && interaction.compartment === 'Patient') patients.add(interaction.id);
  if (interaction.kind !== 'search-type' && interaction.kind !== 'search-compartment') return;
  for (const [name, value] of queryPairs(searchQuery(request, interaction.posted))) {
    const isPatient = PATIENT_PARAMETERS.has(name) || (name === '_id' && interaction.type === 'Patient');
    if (!isPatient && name !== 'subject') continue;
    for (const one of value.split(',').slice(0, limits.orValuesMax)) {
      const [, type, id] = /^(Patient\/)?([A-Za-z0-9\-.]{1,64})$/.exec(one) ?? [];
      if (id !== undefined && (isPatient || type !== undefined)) patients.add(id);
    }
  }
}

const PATIENT_PARAMETERS: ReadonlySet<string> = new Set(['patient', 'patient:Patient', 'subject:Patient']);
