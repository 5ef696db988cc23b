// One made-up request, and what it is about.
import type { Subjects } from './fuzz-search.ts';

// biome-ignore lint/suspicious/noExplicitAny: resources are there to be damaged
export type Json = any;

export interface FuzzRequest {
  method: string;
  /** Path and query below the base, as they go over the wire. */
  path: string;
  /** By lower-case name. */
  headers: Record<string, string>;
  body?: Buffer;
}

/** What is there to be searched, changed and broken. */
export interface Target extends Subjects {
  samples: readonly Json[];
  /** Jobs that the server told of. */
  jobs: string[];
}

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
