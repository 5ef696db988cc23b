// A patient's record as the writes that careloom itself would commit, without the way through HTTP: to fill a store
// quickly, and to give the raw inserts the same rows and keys.
import { ObjectId } from 'mongodb';
import { writeOf } from '../../src/fhir/prepare.ts';
import type { IndexContext } from '../../src/fhir/search/values.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { bucketOf, type ResourceDoc } from '../../src/store/mongo/layout.ts';
import { stamped } from '../../src/store/stamp.ts';
import type { Write } from '../../src/store/store.ts';
import { patientRecord, type Resource } from './data.ts';

/** The writes that create a patient's resources. */
export type Rows = (patient: number) => Write[];

export function createRows(): Rows {
  const write = createWrite();
  return (patient) => patientRecord(patient).map(write);
}

/** Makes the write that creates a resource. */
export function createWrite(): (resource: Resource) => Write {
  const context: IndexContext = { definitions: loadDefinitions(), baseUrl: 'http://127.0.0.1/fhir', timeZone: 'UTC' };
  return (resource) => writeOf(Buffer.from(JSON.stringify(resource)), resource, resource.id, context, 'absent');
}

/** The document that MongoDB keeps of a write that creates. */
export function documentOf({ type, id, body, stampAt, ord, keys, terms, owner }: Write, now: number): ResourceDoc {
  const common = { _id: `${type}/${id}`, t: type, id, v: 1, lu: now, ord, tie: new ObjectId(), b: bucketOf(owner) };
  return { ...common, idx: keys, terms, body: stamped(body ?? new Uint8Array(), stampAt, 1, now) };
}
