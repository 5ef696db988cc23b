// A patient's record as the writes that careloom itself would commit, without the way through HTTP: to fill a store
// quickly, and to give the raw inserts the same rows and keys.
import { randomBytes } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import type { EngineContext } from '../../src/fhir/context.ts';
import { writeOf } from '../../src/fhir/prepare.ts';
import { createSeal } from '../../src/fhir/seal.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import type { Store, Write } from '../../src/store/store.ts';
import { patientRecord } from './data.ts';

/** The writes that create a patient's resources. */
export type Rows = (patient: number) => Write[];

export function createRows(): Rows {
  const context: EngineContext = {
    // Preparing a write asks nothing of the store.
    store: {} as Store,
    definitions: loadDefinitions(),
    clock: systemClock,
    baseUrl: 'http://127.0.0.1/fhir',
    timeZone: 'UTC',
    checkReferences: false,
    seal: createSeal(randomBytes(32)),
  };
  return (patient) =>
    patientRecord(patient).map((resource) =>
      writeOf(Buffer.from(JSON.stringify(resource)), resource, resource.id, context, 'absent'),
    );
}
