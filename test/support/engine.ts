// An engine on a store, and requests to it as a client would make them, without a socket.
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { FhirError, operationOutcome } from '../../src/base/outcome.ts';
import { anonymousCaller } from '../../src/fhir/access/callers.ts';
import type { Renew } from '../../src/fhir/access/kept-caller.ts';
import type { Principal } from '../../src/fhir/caller.ts';
import { type Access, type Background, createEngine, type EventRecord } from '../../src/fhir/engine.ts';
import type { Answer, Caller, Engine, FhirRequest } from '../../src/fhir/interaction.ts';
import type { Maintenance } from '../../src/fhir/maintenance.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import type { Store } from '../../src/store/store.ts';

export const baseUrl = 'http://127.0.0.1:8080/fhir';

export interface Reply {
  status: number;
  headers: Record<string, string>;
  /** The body parsed, as loosely as tests want it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind
  json: any;
  text: string;
}

export interface TestEngine {
  engine: Engine & Access & EventRecord & Maintenance & { background: Background };
  /** `url` is relative to the base, as in `Patient?name=x`. A FhirError comes back as the answer that an edge would give. */
  ask(
    method: FhirRequest['method'],
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
    /** Who asks this once. */
    as?: Caller,
  ): Promise<Reply>;
  /** The same for somebody with a token. */
  askAs(principal: Principal): TestEngine['ask'];
}

export interface EngineChoices {
  clock?: Clock;
  timeZone?: string;
  checkReferences?: boolean;
  lookMs?: number;
  onFault?: (error: unknown, kind: string) => void;
  /** Who asks. */
  caller?: Caller;
  /** Who asked for work that goes on, as they are now. */
  renew?: Renew;
  /** Record every request. */
  audit?: boolean;
}

export async function engineOn(store: Store, options: EngineChoices = {}): Promise<TestEngine> {
  const { clock = systemClock, timeZone = 'UTC', caller = anonymousCaller, ...others } = options;
  const software = { name: 'careloom', version: '0.0.0', date: '2026-01-01' };
  const engine = await createEngine({
    store,
    definitions: loadDefinitions(),
    clock,
    baseUrl,
    timeZone,
    software,
    ...others,
  });
  const askAs =
    (callerNow: () => Caller): TestEngine['ask'] =>
    async (method, url, body, headers = {}, as = callerNow()) => {
      try {
        return replyOf(await engine.perform(requestFor(method, url, body, headers), as));
      } catch (error) {
        if (!(error instanceof FhirError)) throw error;
        const json = operationOutcome(error.issues);
        return { status: error.status, headers: { ...error.headers }, json, text: JSON.stringify(json) };
      }
    };
  return { engine, ask: askAs(() => caller), askAs: (principal) => askAs(() => engine.callerOf(principal)) };
}

function requestFor(
  method: FhirRequest['method'],
  url: string,
  body: unknown,
  headers: Record<string, string>,
): FhirRequest {
  const relative = url.startsWith(baseUrl) ? url.slice(baseUrl.length).replace(/^\//, '') : url;
  const mark = relative.indexOf('?');
  const bytes =
    body === undefined ? '' : typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    method,
    path: mark < 0 ? relative : relative.slice(0, mark),
    query: mark < 0 ? '' : relative.slice(mark + 1),
    header: (name) => lower.get(name),
    body: typeof bytes === 'string' ? Buffer.from(bytes) : bytes,
    signal: new AbortController().signal,
  };
}

function replyOf({ status, headers, body }: Answer): Reply {
  const text =
    body === undefined ? '' : Buffer.concat(body instanceof Uint8Array ? [body] : [...body]).toString('utf8');
  return { status, headers, text, json: text === '' ? undefined : JSON.parse(text) };
}

/** Ids of a searchset's matches, in order. */
export const matchIds = (reply: Reply): string[] =>
  (reply.json.entry ?? [])
    .filter((entry: { search?: { mode?: string } }) => entry.search?.mode === 'match')
    .map((entry: { resource: { id: string } }) => entry.resource.id);

export const nextLink = (reply: Reply): string | undefined =>
  reply.json.link?.find((link: { relation: string }) => link.relation === 'next')?.url;
