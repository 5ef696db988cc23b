// Documents as rows.
import { Binary, ObjectId } from 'mongodb';
import { keysStarting } from '../match.ts';
import type { Key, Row } from '../store.ts';

const ID_CHARS = /^[0-9a-f]{24}$/;

interface VersionDoc {
  t: string;
  id: string;
  v: number;
  lu: number;
  body: Uint8Array | Binary | null;
  idx?: Key[];
  old?: Key[];
}

/** `keysOf`: prefixes of keys to hand back, for which the document must have been read with them. */
export function rowOf(doc: VersionDoc, keysOf?: readonly Key[]): Row {
  const row = { type: doc.t, id: doc.id, version: doc.v, lastUpdated: doc.lu, body: bytesOf(doc.body) };
  return keysOf === undefined ? row : { ...row, keys: keysStarting(doc.idx ?? doc.old ?? [], keysOf) };
}

/** The bytes of a stored body; the driver hands them out as a Buffer when asked to promote, else wrapped. */
export function bytesOf(body: Uint8Array | Binary | null): Uint8Array | null {
  return body instanceof Binary ? body.value() : body;
}

export function objectIdOf(hex: string): ObjectId {
  if (!ID_CHARS.test(hex)) throw new TypeError('not an object id');
  return ObjectId.createFromHexString(hex);
}
