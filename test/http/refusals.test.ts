// What is refused before the engine is on record, a line a minute for each place and kind.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import type { SecurityEvent } from '../../src/fhir/audit/security-event.ts';
import { Refusals } from '../../src/http/refusals.ts';
import { guardedServer } from './guarded.ts';

/** Refusals with a record that fails when told to. */
function counting() {
  const events: SecurityEvent[] = [];
  const faults: unknown[] = [];
  const state = { now: Date.parse('2026-01-01T00:00:00Z'), isAway: false };
  const refusals = new Refusals({
    record: async (event) => {
      if (state.isAway) throw new Error('away');
      events.push(event);
    },
    now: () => state.now,
    onFault: (error) => faults.push(error),
  });
  return { refusals, events, faults, state };
}

t.test('refusals of one kind from one place are one line, with how many and since when', async (t) => {
  const { refusals, events, state } = counting();
  for (let count = 0; count < 5; count++) {
    refusals.note({ kind: 'token-refused', address: '192.0.2.7' });
    state.now += 1000;
  }
  refusals.note({ kind: 'throttled', address: '192.0.2.7' });
  refusals.note({ kind: 'throttled', client: 'app', user: 'Practitioner/1' });
  refusals.note({ kind: 'token-refused', address: '2001:db8::1' });
  refusals.note({ kind: 'token-refused', address: '2001:db8::2' });
  t.same(events, [], 'nothing is waited for');
  await refusals.flush();
  t.equal(events.length, 4);
  t.match(events[0], {
    kind: 'token-refused',
    outcome: 'denied',
    address: '192.0.2.7',
    detail: 'revoked: 5 times from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:04.000Z',
  });
  t.match(events[2], { kind: 'throttled', client: 'app', user: 'Practitioner/1', detail: ': 1 time from' });
  t.match(events[3], { address: '2001:db8::2', detail: ': 2 times' }, 'one subscriber');
  await refusals.flush();
  t.equal(events.length, 4, 'each is told once');
});

t.test('threat: a million addresses are a bounded number of lines', async (t) => {
  const { refusals, events } = counting();
  const many = limits.refusalKeysMax * 50;
  for (let count = 0; count < many; count++) {
    refusals.note({ kind: 'token-refused', address: `10.1.${count >> 8}.${count & 255}` });
    refusals.note({ kind: 'throttled', address: `10.1.${count >> 8}.${count & 255}` });
  }
  await refusals.flush();
  t.ok(events.length <= limits.refusalKeysMax + 3, `${events.length} lines`);
  const counted = events.reduce((sum, { detail }) => sum + Number(/: (\d+) times? from/.exec(detail ?? '')?.[1]), 0);
  t.equal(counted, many * 2, 'and every one is counted');
  t.ok(events.some(({ address, detail }) => address === undefined && /more places/.test(detail ?? '')));
});

t.test('what cannot be recorded is told, and kept for the next time', async (t) => {
  const { refusals, events, faults, state } = counting();
  state.isAway = true;
  refusals.note({ kind: 'refused', address: '192.0.2.7' });
  await refusals.flush();
  refusals.note({ kind: 'refused', address: '192.0.2.7' });
  state.isAway = false;
  await refusals.flush();
  t.equal(faults.length, 1);
  t.match(events, [{ kind: 'refused', detail: ': 2 times' }]);
});

t.test('the edge: a token that is none, too many requests, plain HTTP; not a request without any token', async (t) => {
  const events: SecurityEvent[] = [];
  const { server } = guardedServer({
    access: {
      record: async (event) => {
        events.push(event);
      },
    },
    server: { clock: { now: () => 0, newId: () => 'id' } },
  });
  const ask = async (authorization?: string, remoteAddress = '127.0.0.1') => {
    const headers = authorization === undefined ? {} : { authorization };
    return (await server.inject({ url: '/fhir/Patient/1', headers, remoteAddress })).statusCode;
  };
  t.equal(await ask(), 401);
  for (const authorization of ['Bearer wrong', 'Basic Z29vZDpnb29k', 'Bearer '])
    t.equal(await ask(authorization), 401, authorization);
  t.equal(await ask('Bearer good', '203.0.113.9'), 403, 'in plain HTTP from elsewhere');
  t.equal((await server.inject({ url: '/metrics', remoteAddress: '203.0.113.10' })).statusCode, 403);
  for (let count = 0; count < limits.userRequestsBurst; count++) await ask('Bearer good');
  t.equal(await ask('Bearer good'), 429);
  for (let count = 0; count < limits.clientRequestsBurst; count++) await ask('Bearer app-a');
  t.equal(await ask('Bearer app-a'), 429);
  for (let count = 0; count < limits.strangerRequestsBurst; count++) await ask('Bearer wrong');
  t.same(events, [], 'no answer waited');
  await server.close();
  const told = events.map(({ kind, address, client, user }) => [kind, client ?? address, user]);
  t.same(told.sort(), [
    ['refused', '203.0.113.10', undefined],
    ['refused', '203.0.113.9', undefined],
    ['throttled', '127.0.0.1', undefined],
    ['throttled', 'app-a', undefined],
    ['throttled', 'good', 'Practitioner/1'],
    ['token-refused', '127.0.0.1', undefined],
  ]);
  t.notMatch(JSON.stringify(events), /wrong|Z29vZ/, 'no token is on record');
});

t.test('the edge: too much at once, and too often at the pages', async (t) => {
  const events: SecurityEvent[] = [];
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { server } = guardedServer({
    routes: [{ method: 'POST', path: '/auth/x', rate: 'register', handle: async () => ({ status: 200 }) }],
    access: {
      record: async (event) => {
        events.push(event);
      },
    },
    perform: async () => {
      await gate;
      return { status: 200, headers: {}, interaction: 'read' };
    },
    server: { clock: { now: () => 0, newId: () => 'id' } },
  });
  const ask = () => server.inject({ url: '/fhir/Patient/1', headers: { authorization: 'Bearer app-a' } });
  const waiting = Array.from({ length: limits.clientRequestsAtOnceMax }, ask);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal((await ask()).statusCode, 429);
  release();
  await Promise.all(waiting);
  for (let count = 0; count < limits.registrationsPerHour; count++)
    await server.inject({ method: 'POST', url: '/auth/x' });
  t.equal((await server.inject({ method: 'POST', url: '/auth/x' })).statusCode, 429);
  await server.close();
  t.same(events.map(({ kind, address, client }) => [kind, client ?? address]).sort(), [
    ['throttled', '127.0.0.1'],
    ['throttled', 'app-a'],
  ]);
});
