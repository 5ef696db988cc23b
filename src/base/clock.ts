// Time and ids come from here alone, so that tests can hold both still.
import { randomUUID } from 'node:crypto';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** A fresh resource id: a UUID, which is within FHIR's id format. */
  newId(): string;
}

export const systemClock: Clock = { now: () => Date.now(), newId: () => randomUUID() };
