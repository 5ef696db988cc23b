// What is loaded in one piece, and a resource as such a piece.
import { putEntry } from './bundle.ts';

/** `position` counts the units of a file from 0. */
export type Unit =
  | { kind: 'transaction'; position: number; bundle: Uint8Array }
  | EntryUnit
  /** Cannot be loaded, and why; without content. `name` as below. */
  | { kind: 'unreadable'; position: number; problem: string; name?: string };

/** A Bundle.entry as text, to go with others. */
export interface EntryUnit {
  kind: 'entry';
  position: number;
  type: string;
  /** "Type/id" where the entry says it. */
  identity: string | undefined;
  mode: 'put' | 'batch';
  entry: Uint8Array;
  /** What it is called in messages, where its position says little: the name of a file in a package. */
  name?: string;
  /** The text of the resource, where it is not put when the same is there already. */
  unlessThere?: Uint8Array;
}

export function resourceUnit(
  bytes: Uint8Array,
  value: Record<string, unknown>,
  position: number,
  fullUrl?: string,
): Unit {
  const { resourceType: type, id = '' } = value;
  if (!isTypeName(type)) return { kind: 'unreadable', position, problem: 'no resourceType' };
  if (id !== '' && !isId(id)) {
    return { kind: 'unreadable', position, problem: 'its id is none: 1 to 64 of A-Z, a-z, 0-9, - and .' };
  }
  const identity = id === '' ? undefined : `${type}/${id}`;
  const entry = putEntry({ type, id, resource: bytes, fullUrl });
  return { kind: 'entry', position, type, identity, mode: 'put', entry };
}

export const isTypeName = (type: unknown): type is string =>
  typeof type === 'string' && /^[A-Z][A-Za-z]{1,60}$/.test(type);

export const isId = (id: unknown): id is string => typeof id === 'string' && /^[A-Za-z0-9.-]{1,64}$/.test(id);

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
