// Prefer: respond-async, on both stores. https://hl7.org/fhir/R4/async.html
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { systemCaller } from '../../src/fhir/access/callers.ts';
import { type Store, StoreError } from '../../src/store/store.ts';
import { baseUrl, engineOn, matchIds, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const LATER = { Prefer: 'respond-async' };
const LOOK_MS = 10;
const WAIT_MS = 20_000;

const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });
const bundle = (type: string, ...entry: object[]) => ({ resourceType: 'Bundle', type, entry });
const post = (resource: object, more: object = {}) => ({
  resource,
  request: { method: 'POST', url: 'Patient', ...more },
});

interface Setting extends Omit<TestEngine, 'askAs'> {
  store: Store;
  faults: string[];
  clock: Clock & { move(ms: number): void };
  /** Kicks off; the address to ask for the answer at. */
  kickOff(method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown, headers?: object): Promise<string>;
  /** The one entry of the answer, once it is there. */
  entryOf(status: string): Promise<Entry>;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every kind
type Entry = { response: { status: string; outcome?: any } & Record<string, any>; resource?: any };

async function setting(t: Test, adapter: Adapter, wrapped = (store: Store) => store): Promise<Setting> {
  let moved = 0;
  const clock = {
    now: () => Date.now() + moved,
    newId: systemClock.newId,
    move: (ms: number) => {
      moved += ms;
    },
  };
  const { store, close } = await adapter.open(clock);
  const faults: string[] = [];
  const onFault = (_: unknown, kind: string): number => faults.push(kind);
  const { ask, engine } = await engineOn(wrapped(store), { clock, lookMs: LOOK_MS, onFault });
  t.teardown(async () => {
    await engine.background.stop();
    await close();
  });
  return {
    store,
    ask,
    engine,
    faults,
    clock,
    async kickOff(method, url, body, headers = {}) {
      const reply = await ask(method, url, body, { ...LATER, ...headers });
      t.equal(reply.status, 202, reply.text.slice(0, 300));
      t.equal(reply.json.resourceType, 'OperationOutcome');
      t.equal(reply.headers['Preference-Applied'], 'respond-async');
      return reply.headers['Content-Location'] ?? '';
    },
    async entryOf(status) {
      const reply = await answered(ask, status);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.match(reply.json, { resourceType: 'Bundle', type: 'batch-response' });
      t.equal(reply.json.entry.length, 1);
      return reply.json.entry[0];
    },
  };
}

async function answered(ask: TestEngine['ask'], status: string): Promise<Reply> {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const reply = await ask('GET', status);
    if (reply.status !== 202 || Date.now() > end) return reply;
    await pause(5);
  }
}

const idIn = (status: string): string => status.slice(status.indexOf('id=') + 3);

/** The same store, some of whose methods are others. */
const storeWith = (store: Store, others: Partial<Store>): Store =>
  new Proxy(store, {
    get(target, name) {
      if (name in others) return others[name as keyof Store];
      const value = target[name as keyof Store];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  await t.test('202 with Content-Location, 202 while it lasts, then 200 with a batch-response', async (t) => {
    const { ask, engine, kickOff, entryOf } = await setting(t, adapter);
    await ask('PUT', 'Patient/a', patient({ id: 'a', gender: 'male' }));
    const status = await kickOff('GET', 'Patient?gender=male');
    t.match(status, /^http:\/\/127\.0\.0\.1:8080\/fhir\/\$job-status\?id=[\w-]{36}$/);
    const waiting = await ask('GET', status);
    t.equal(waiting.status, 202);
    t.equal(waiting.text, '');
    t.match(waiting.headers, { 'X-Progress': 'waiting', 'Retry-After': '2' });
    engine.background.start();
    const { response, resource } = await entryOf(status);
    t.same(response, { status: '200 OK' });
    t.equal(resource.type, 'searchset');
    t.equal(resource.entry[0].resource.id, 'a');
    t.equal(resource.link[0].url, `${baseUrl}/Patient?gender=male`, 'as if it had been answered at once');
    for (const [method, body] of [
      ['HEAD', undefined],
      ['POST', { resourceType: 'Parameters', parameter: [{ name: 'id', valueString: idIn(status) }] }],
    ] as const) {
      const reply = await ask(method, method === 'POST' ? '$job-status' : status, body);
      t.equal(reply.status, 200, method);
      t.equal(reply.json.type, 'batch-response');
    }
  });

  await t.test('what may take long can be asked for later; the rest is answered at once', async (t) => {
    const { ask, engine, kickOff, entryOf } = await setting(t, adapter);
    engine.background.start();
    const created = await ask('POST', 'Patient', patient({ gender: 'male' }), LATER);
    t.equal(created.status, 201);
    t.equal(created.headers['Preference-Applied'], undefined);
    t.equal((await ask('GET', `Patient/${created.json.id}`, undefined, LATER)).status, 200);
    t.equal((await ask('GET', 'metadata', undefined, LATER)).status, 200);
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    t.equal((await entryOf(await kickOff('POST', 'Patient/_search', 'gender=male', form))).resource.entry.length, 1);
    t.equal((await entryOf(await kickOff('GET', '?_type=Patient'))).resource.entry.length, 1);
    t.equal((await entryOf(await kickOff('GET', `Patient/${created.json.id}/*`))).resource.type, 'searchset');
    t.equal((await entryOf(await kickOff('GET', 'Patient/_history'))).resource.type, 'history');
    t.equal((await entryOf(await kickOff('GET', 'Patient/$explain?gender=male'))).resource.resourceType, 'Parameters');
    const status = await kickOff('GET', 'Patient');
    await entryOf(status);
    t.equal((await ask('GET', status, undefined, LATER)).status, 200, 'asking for an answer begins no other job');
  });

  await t.test('the answer to a transaction and a batch is their response, and they are done once', async (t) => {
    const { ask, engine, kickOff, entryOf, store } = await setting(t, adapter);
    engine.background.start();
    const sent = bundle('transaction', post(patient({ id: 'x', gender: 'male' }), { ifNoneExist: 'gender=male' }), {
      request: { method: 'GET', url: 'Patient?_summary=count' },
    });
    const { response, resource } = await entryOf(await kickOff('POST', '', sent));
    t.equal(response.status, '200 OK');
    t.equal(resource.type, 'transaction-response');
    t.equal(resource.entry[0].response.status, '201 Created');
    t.equal(resource.entry[1].resource.total, 1);
    t.equal((await ask('GET', 'Patient')).json.total, 1);
    const batch = await entryOf(
      await kickOff('POST', '', bundle('batch', post(patient()), post({ resourceType: 'X' }))),
    );
    t.same(
      batch.resource.entry.map((one: Entry) => one.response.status.slice(0, 3)),
      ['201', '400'],
    );
    t.same(await store.records.list('job-body', { limit: 9 }), [], 'the bodies are not kept any longer');
  });

  await t.test('what goes wrong is the answer: an outcome in the response of its entry', async (t) => {
    const { ask, engine, kickOff, entryOf, faults } = await setting(t, adapter);
    engine.background.start();
    const { response, resource } = await entryOf(await kickOff('GET', 'Patient?colour=red'));
    t.equal(response.status, '400 Bad Request');
    t.equal(resource, undefined);
    t.match(response.outcome.issue[0].diagnostics, /"colour" is not a search parameter/);
    const failed = await entryOf(await kickOff('POST', '', bundle('transaction', post(patient({ colour: 'red' })))));
    t.equal(failed.response.status, '400 Bad Request');
    t.match(failed.response.outcome.issue[0].expression[0], /^Bundle\.entry\[0\]/);
    t.equal((await ask('GET', 'Patient')).json.total, 0);
    t.same(faults, []);
  });

  await t.test('a deletion of many says how many', async (t) => {
    const { ask, engine, kickOff, entryOf } = await setting(t, adapter);
    engine.background.start();
    for (const id of ['a', 'b', 'c']) await ask('PUT', `Patient/${id}`, patient({ id, gender: 'male' }));
    const { response, resource } = await entryOf(await kickOff('DELETE', 'Patient?gender=male&_count=2'));
    t.equal(response.status, '200 OK');
    t.match(response.outcome.issue[0].diagnostics, /^2 Patient resources were deleted/);
    t.equal(resource, undefined);
    t.equal((await ask('GET', 'Patient')).json.total, 1);
    const none = await entryOf(await kickOff('DELETE', 'Patient?gender=female'));
    t.equal(none.response.status, '204 No Content');
  });

  await t.test('other preferences hold for the answer', async (t) => {
    const { ask, engine, kickOff, entryOf } = await setting(t, adapter);
    engine.background.start();
    const lenient = await entryOf(
      await kickOff('GET', 'Patient?colour=red', undefined, { Prefer: 'handling=lenient, respond-async' }),
    );
    t.equal(lenient.response.status, '200 OK');
    t.equal(lenient.resource.entry[0].search.mode, 'outcome');
    const written = bundle('transaction', post(patient()));
    const dry = await entryOf(await kickOff('POST', '', written, { Prefer: 'respond-async; dry-run' }));
    t.equal(dry.resource.entry[0].response.status, '201 Created');
    t.equal((await ask('GET', 'Patient')).json.total, 0, 'nothing was written');
    const whole = await entryOf(await kickOff('POST', '', written, { Prefer: 'respond-async,return=representation' }));
    t.equal(whole.resource.entry[0].resource.resourceType, 'Patient');
  });

  await t.test('however the preference is written, one job does not begin another', async (t) => {
    const { engine, kickOff, entryOf, store } = await setting(t, adapter);
    engine.background.start();
    const ways = ['"respond-async"', 'respond"-"async', 'respond-async=true', 'x,respond-async , respond-async'];
    for (const Prefer of ways) {
      t.equal((await entryOf(await kickOff('GET', 'Patient', undefined, { Prefer }))).resource.type, 'searchset');
    }
    t.equal((await store.records.list('job', { limit: 99 })).length, ways.length);
  });

  await t.test('an answer of any size comes in one piece', async (t) => {
    const { ask, engine, kickOff, entryOf, store } = await setting(t, adapter);
    const text = 'Größe '.repeat(60_000);
    for (const id of ['a', 'b', 'c', 'd'])
      await ask('PUT', `Patient/${id}`, patient({ id, name: [{ text: `${id} ${text}` }] }));
    engine.background.start();
    const status = await kickOff('GET', 'Patient?_sort=_lastUpdated');
    const { resource } = await entryOf(status);
    t.same(
      resource.entry.map((one: { resource: { name: { text: string }[] } }) => one.resource.name[0]?.text),
      ['a', 'b', 'c', 'd'].map((id) => `${id} ${text}`),
    );
    const chunks = await store.records.list('job-answer', { limit: 9 });
    t.ok(chunks.length >= 2, `${chunks.length} chunks`);
    await store.records.remove('job-answer', chunks[1]?.id ?? '');
    const partly = await ask('GET', status);
    t.equal(partly.status, 404);
    t.match(partly.json.issue[0].diagnostics, /not kept any more/);
  });

  await t.test('an answer is kept for a day, a request that waits as well', async (t) => {
    const { ask, engine, kickOff, entryOf, clock, store } = await setting(t, adapter);
    const late = await kickOff('POST', '', bundle('transaction', post(patient())));
    clock.move(24 * 60 * 60 * 1000 + 1);
    engine.background.start();
    const { response } = await entryOf(late);
    t.equal(response.status, '500 Internal Server Error');
    t.match(response.outcome.issue[0].diagnostics, /waited for more than a day/);
    t.equal((await ask('GET', 'Patient')).json.total, 0);
    const status = await kickOff('GET', 'Patient');
    await entryOf(status);
    clock.move(24 * 60 * 60 * 1000 + 1);
    t.equal((await ask('GET', status)).status, 404);
    t.ok((await store.records.sweep()) > 0, 'what has expired can be swept');
  });

  await t.test('nobody else sees it, and an id that means nothing is 404', async (t) => {
    const { ask, engine, kickOff, entryOf, store } = await setting(t, adapter);
    engine.background.start();
    const status = await kickOff('GET', 'Patient');
    await entryOf(status);
    const other = await engineOn(store, { caller: systemCaller });
    for (const method of ['GET', 'DELETE'] as const) t.equal((await other.ask(method, status)).status, 404);
    t.equal((await ask('GET', status)).status, 200, 'it is still there');
    const missing = await ask('GET', '$job-status');
    t.equal(missing.status, 400);
    t.match(missing.json.issue[0].diagnostics, /"id"/);
    t.equal((await ask('GET', '$job-status?id=a&id=b')).status, 400);
    t.equal((await ask('GET', '$job-status?id=a&colour=red')).status, 400);
    const garbage = ['', 'x', 'index', '%00', '%E2%82%AC', `${idIn(status)}/00000`, `..%2F`, '%09', 'a'.repeat(5_000)];
    for (const id of garbage) t.equal((await ask('GET', `$job-status?id=${id}`)).status, 404, id.slice(0, 40));
    t.equal((await ask('PUT', status, {})).status, 405);
  });

  await t.test('DELETE gives up a job that waits, one that runs, and an answer', async (t) => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { ask, engine, kickOff, entryOf, store } = await setting(t, adapter, (store) =>
      storeWith(store, {
        history: async (...given) => {
          await gate;
          return store.history(...given);
        },
      }),
    );
    const waiting = await kickOff('POST', '', bundle('transaction', post(patient())));
    t.equal((await ask('DELETE', waiting)).status, 202);
    const gone = await ask('GET', waiting);
    t.equal(gone.status, 404);
    t.match(gone.json.issue[0].diagnostics, /given up/);
    engine.background.start();
    const running = await kickOff('GET', 'Patient/_history');
    while ((await ask('GET', running)).headers['X-Progress'] !== 'running') await pause(5);
    t.equal((await ask('DELETE', running)).status, 202);
    release();
    t.equal((await ask('GET', running)).status, 404);
    const done = await kickOff('GET', 'Patient');
    await entryOf(done);
    t.equal((await ask('DELETE', done)).status, 202);
    t.match((await ask('GET', done)).json.issue[0].diagnostics, /no such job/);
    t.equal((await ask('DELETE', done)).status, 404);
    t.equal((await ask('GET', 'Patient')).json.total, 0, 'what was given up was not done');
    t.notOk((await store.records.list('job-answer', { limit: 9 })).some(({ id }) => id.startsWith(idIn(done))));
    t.same(await store.records.list('job-body', { limit: 9 }), []);
  });

  await t.test('what was begun and may have been written is not done again; a search is', async (t) => {
    const { ask, engine, kickOff, entryOf, store } = await setting(t, adapter);
    const [write, search] = [
      await kickOff('POST', '', bundle('batch', post(patient()))),
      await kickOff('GET', 'Patient'),
    ];
    // As a process leaves them that dies over them.
    for (const status of [write, search]) {
      const record = await store.records.get('job', idIn(status));
      const job = { ...JSON.parse(record?.value ?? ''), state: 'running', saved: { isBegun: true }, leasedUntil: 0 };
      await store.records.put({ kind: 'job', id: idIn(status), value: JSON.stringify(job) }, record?.version ?? 0);
    }
    engine.background.start();
    const { response } = await entryOf(write);
    t.equal(response.status, '500 Internal Server Error');
    t.match(response.outcome.issue[0].diagnostics, /look before you send it again/);
    t.equal((await entryOf(search)).resource.total, 0);
    t.equal((await ask('GET', 'Patient')).json.total, 0);
  });

  await t.test('a store that cannot be reached for a moment is no answer', async (t) => {
    let failures = 0;
    const { engine, kickOff, entryOf, clock, faults } = await setting(t, adapter, (store) =>
      storeWith(store, {
        history: async (...given) => {
          if (failures++ < 2) throw new StoreError('unavailable', 'away');
          return store.history(...given);
        },
      }),
    );
    engine.background.start();
    const status = await kickOff('GET', 'Patient/_history');
    const timer = setInterval(() => clock.move(1_000), 20);
    const { response } = await entryOf(status);
    clearInterval(timer);
    t.equal(response.status, '200 OK');
    t.same(faults, ['request', 'request']);
  });

  await t.test('a process that stops leaves its requests to the next', async (t) => {
    let isHeld = true;
    const { engine, kickOff, entryOf, store, clock } = await setting(t, adapter, (store) =>
      storeWith(store, {
        history: async (...given) => {
          while (isHeld) await pause(5);
          return store.history(...given);
        },
      }),
    );
    engine.background.start();
    const status = await kickOff('GET', 'Patient/_history');
    const queued = await kickOff('POST', '', bundle('transaction', post(patient())));
    await entryOf(queued);
    const stopped = engine.background.stop();
    isHeld = false;
    await stopped;
    const next = await engineOn(store, { clock, lookMs: LOOK_MS });
    next.engine.background.start();
    t.equal((await entryOf(status)).resource.type, 'history');
    await next.engine.background.stop();
  });

  await t.test('too large a body and too many at once are refused', async (t) => {
    const { ask, store } = await setting(t, adapter);
    const large = await ask('POST', '', Buffer.alloc(limits.asyncBodyBytesMax + 1, ' '), LATER);
    t.equal(large.status, 422);
    t.equal(large.json.issue[0].code, 'too-costly');
    for (let at = 0; at < limits.asyncOpenMax; at++) {
      await store.records.put({ kind: 'job-open-request', id: `00000000000001-${at}`, value: '"x"' }, 0);
    }
    const many = await ask('GET', 'Patient', undefined, LATER);
    t.equal(many.status, 429);
    t.match(many.json.issue[0].diagnostics, /without respond-async/);
    t.equal(matchIds(await ask('GET', 'Patient')).length, 0, 'others are answered');
  });
});
