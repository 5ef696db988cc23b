// An HTTP server on an engine that a test makes up.
import { systemClock } from '../../src/base/clock.ts';
import { createLog, type Log } from '../../src/base/log.ts';
import { anonymousCaller } from '../../src/fhir/access/callers.ts';
import type { Answer, Engine, FhirRequest } from '../../src/fhir/interaction.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from '../../src/http/server.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';

export interface Fake {
  server: HttpServer;
  /** What reached the engine. */
  seen: FhirRequest[];
  /** Lines of the log. */
  lines: string[];
}

export type Perform = (request: FhirRequest) => Answer | Promise<Answer>;

export const patient = Buffer.from('{"resourceType":"Patient","id":"1"}');

export function fakeServer(perform?: Perform, options: Partial<HttpServerOptions> = {}): Fake {
  const seen: FhirRequest[] = [];
  const lines: string[] = [];
  const log: Log = createLog({ level: 'info', destination: { write: (line) => lines.push(line) } });
  const engine: Engine = {
    async perform(request) {
      seen.push(request);
      return perform?.(request) ?? { status: 200, headers: { ETag: 'W/"1"' }, body: patient, interaction: 'read' };
    },
  };
  const store = { name: 'a <fake> store', stats: async () => new Map([['Patient', 3]]), ping: async () => {} };
  const server = createHttpServer({
    engine,
    access: { kind: 'open', caller: anonymousCaller },
    store,
    log,
    clock: systemClock,
    definitions: loadDefinitions,
    baseUrl: 'http://127.0.0.1:8080/fhir',
    version: '0.0.0',
    checkHost: true,
    ...options,
  });
  return { server, seen, lines };
}
