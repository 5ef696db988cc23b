// A patient's record as the writes that careloom itself would commit, without the way through HTTP: to fill a store
// quickly, and to give the raw inserts the same rows and keys.
import { randomBytes } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { systemClock } from '../../src/base/clock.ts';
import type { EngineContext } from '../../src/fhir/context.ts';
import { writeOf } from '../../src/fhir/prepare.ts';
import { createSeal } from '../../src/fhir/seal.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { bucketOf, type ResourceDoc } from '../../src/store/mongo/layout.ts';
import { stamped } from '../../src/store/stamp.ts';
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

/** The document that MongoDB keeps of a write that creates. */
export function documentOf({ type, id, body, stampAt, ord, keys, owner }: Write, now: number): ResourceDoc {
  const common = { _id: `${type}/${id}`, t: type, id, v: 1, lu: now, ord, tie: new ObjectId(), b: bucketOf(owner) };
  return { ...common, idx: keys, body: stamped(body ?? new Uint8Array(), stampAt, 1, now) };
}
