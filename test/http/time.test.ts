// A request whose time is over. The server looks every second; here the looking is done by hand.
import { createServer } from 'node:http';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { createLog } from '../../src/base/log.ts';
import { anonymousCaller } from '../../src/fhir/access/callers.ts';
import { BodyBudget } from '../../src/http/body.ts';
import { FhirRoute } from '../../src/http/fhir-route.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { XmlConversion } from '../../src/http/xml-conversion.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';

t.test('408, and the signal is aborted; what comes later is dropped', async (t) => {
  let signal: AbortSignal | undefined;
  let finish: () => void = () => {};
  let begun: () => void = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const lines: string[] = [];
  const route = new FhirRoute({
    engine: {
      async perform(request) {
        signal = request.signal;
        begun();
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return { status: 200, headers: {}, interaction: 'read' };
      },
    },
    entrance: () => ({ caller: anonymousCaller, cors: [] }),
    slots: undefined,
    log: createLog({ level: 'info', destination: { write: (line) => lines.push(line) } }),
    metrics: createMetrics({ inWork: () => 0, hasAccessControl: false }),
    budget: new BodyBudget(),
    xml: new XmlConversion(loadDefinitions),
    newId: () => 'id',
    base: '/fhir',
    hasHsts: () => false,
    hosts: undefined,
  });
  const server = createServer((raw, response) => route.handle(raw, response, undefined)).listen(0, '127.0.0.1');
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const reply = fetch(`http://127.0.0.1:${port}/fhir/Patient/1`);
  await hasBegun;
  route.expire(performance.now() + limits.requestMs / 2);
  t.equal(signal?.aborted, false);
  route.expire(performance.now() + limits.requestMs + 1);
  t.equal(signal?.aborted, true);
  t.equal((await reply).status, 408);
  t.match(await (await reply).json(), { issue: [{ code: 'timeout' }] });
  t.equal(route.inWork, 1, 'the engine is still at it');
  finish();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(route.inWork, 0);
  t.equal(lines.length, 1);
});
