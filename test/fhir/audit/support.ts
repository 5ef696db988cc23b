// An engine that records, requests to it by various callers, and what the record has of them.

import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { FhirError, operationOutcome } from '../../../src/base/outcome.ts';
import { anonymousCaller } from '../../../src/fhir/access/callers.ts';
import type { AuditBody } from '../../../src/fhir/audit/entry.ts';
import type { Caller, Principal } from '../../../src/fhir/caller.ts';
import { createEngine } from '../../../src/fhir/engine.ts';
import type { FhirRequest } from '../../../src/fhir/interaction.ts';
import { loadDefinitions } from '../../../src/model/definitions.ts';
import type { AuditRow, Store } from '../../../src/store/store.ts';
import { baseUrl, type Reply } from '../../support/engine.ts';

export interface Line extends Omit<AuditRow, 'body'> {
  body: AuditBody;
}

export interface Asked {
  method?: FhirRequest['method'];
  body?: unknown;
  headers?: Record<string, string>;
  caller?: Caller;
}

export async function recordingOn(
  store: Store,
  { clock = systemClock, outsideClients = [] }: { clock?: Clock; outsideClients?: readonly string[] } = {},
) {
  const engine = await createEngine({
    store,
    definitions: loadDefinitions(),
    clock,
    baseUrl,
    timeZone: 'UTC',
    software: { name: 'careloom', version: '0.0.0', date: '2026-01-01' },
    audit: true,
    outsideClients,
  });
  let requests = 0;
  const ask = async (url: string, asked: Asked = {}): Promise<Reply> => {
    requests += 1;
    const request = requestOf(url, asked, `request-${requests}`);
    try {
      const { status, headers, body } = await engine.perform(request, asked.caller ?? anonymousCaller);
      const pieces = body === undefined ? [] : body instanceof Uint8Array ? [body] : [...body];
      const text = Buffer.concat(pieces).toString('utf8');
      return { status, headers, text, json: text === '' ? undefined : JSON.parse(text) };
    } catch (error) {
      if (!(error instanceof FhirError)) throw error;
      const json = operationOutcome(error.issues);
      return { status: error.status, headers: { ...error.headers }, json, text: JSON.stringify(json) };
    }
  };
  /** The lines that a piece of work adds. */
  const linesOf = async (work: () => Promise<unknown>): Promise<Line[]> => {
    const before = new Set((await allLines(store)).map(({ chain, seq }) => `${chain} ${seq}`));
    await work();
    return (await allLines(store)).filter(({ chain, seq }) => !before.has(`${chain} ${seq}`));
  };
  return { engine, ask, linesOf };
}

/** The whole record, oldest first. */
export async function allLines(store: Store): Promise<Line[]> {
  const lines: Line[] = [];
  let after: string | undefined;
  do {
    const page = await store.audit.rows({
      descending: false,
      limit: 500,
      ...(after === undefined ? {} : { after }),
    });
    lines.push(...page.rows.map((row) => ({ ...row, body: JSON.parse(row.body) as AuditBody })));
    after = page.next;
  } while (after !== undefined);
  return lines;
}

function requestOf(url: string, { method = 'GET', body, headers = {} }: Asked, requestId: string): FhirRequest {
  const relative = url.startsWith(baseUrl) ? url.slice(baseUrl.length).replace(/^\//, '') : url;
  const mark = relative.indexOf('?');
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  return {
    method,
    path: mark < 0 ? relative : relative.slice(0, mark),
    query: mark < 0 ? '' : relative.slice(mark + 1),
    header: (name) => lower.get(name),
    body: Buffer.from(text),
    origin: { address: '192.0.2.7', requestId },
    signal: new AbortController().signal,
  };
}

export const principal = (more: Partial<Principal> = {}): Principal => ({
  user: { id: 'u1', fhirUser: 'Practitioner/1', roles: ['clinician'], clearance: [] },
  client: 'app',
  grant: 'grant-1',
  scopes: [],
  purpose: 'TREAT',
  ...more,
});
