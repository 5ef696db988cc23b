// threat 13: work that goes on after its request ends with the right to it, at its next step.
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { demoClient } from '../../src/cli/demo.ts';
import type { Principal } from '../../src/fhir/caller.ts';
import type { Commit, Store } from '../../src/store/store.ts';
import { engineOn, type Reply, type TestEngine } from '../support/engine.ts';
import { guardedApp, tokenFor } from '../support/guarded-app.ts';
import { onBothStores } from '../support/stores.ts';

t.setTimeout(60_000);
const LATER = { prefer: 'respond-async' };
const ENTRIES = 200;
/** 32 entries of a batch are in work at once, and as many may begin while the right is being ended. */
const BEGUN_MAX = 64;

/** A clock that can be moved on, and the store with something that happens once after the first commit of a Basic. */
function stage(store: Store) {
  let moved = 0;
  let happening: (() => Promise<unknown>) | undefined;
  /** Commits wait for it, so that no more is done than had been begun. */
  let happened: Promise<void> | undefined;
  const clock = { now: () => Date.now() + moved, newId: systemClock.newId };
  const commit = async (commit: Commit) => {
    await happened;
    const written = await store.commit(commit);
    if (happening !== undefined && commit.writes.some(({ type }) => type === 'Basic')) {
      happened = happening().then(() => {
        moved += 1_000;
      });
      happening = undefined;
    }
    return written;
  };
  const watched = new Proxy(store, {
    get(target, name) {
      if (name === 'commit') return commit;
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const meanwhile = (what: () => Promise<unknown>): void => {
    happening = what;
  };
  const pass = (ms: number): void => {
    moved += ms;
  };
  return { clock, watched, meanwhile, pass };
}

const basics = (count: number) => ({
  resourceType: 'Bundle',
  type: 'batch',
  entry: Array.from({ length: count }, (_, at) => ({
    resource: { resourceType: 'Basic', code: { text: `number ${at}` }, subject: { reference: 'Patient/patient-001' } },
    request: { method: 'POST', url: 'Basic' },
  })),
});

const basicsIn = async (store: Store): Promise<number> => (await store.stats()).get('Basic') ?? 0;

await onBothStores(t, async (t, adapter) => {
  await t.test('threat 13: a grant that is revoked in the middle of a job', async (t) => {
    const { store, close } = await adapter.open();
    const { clock, watched, meanwhile } = stage(store);
    const served = await guardedApp(watched, { clock, settings: { CARELOOM_RATE_LIMITS: 'off' } });
    t.teardown(async () => {
      await served.close();
      await close();
    });
    await served.control.server.clients.add(demoClient);
    const token = await tokenFor(served, 'doctor', 'user/*.cruds');
    const headers = { ...LATER, 'content-type': 'application/fhir+json', authorization: `Bearer ${token}` };
    const kickOff = () =>
      fetch(`${served.url}/fhir`, { method: 'POST', headers, body: JSON.stringify(basics(ENTRIES)) });
    const ended = async () => {
      const end = Date.now() + 20_000;
      while (Date.now() < end && (await openJobs(store)).length > 0) await pause(20);
    };
    t.equal((await kickOff()).status, 202);
    await ended();
    t.equal(await basicsIn(store), ENTRIES, 'all, while the right lasts');
    meanwhile(() => served.control.server.grants.revokeAllOf(served.people.doctor, 'test'));
    t.equal((await kickOff()).status, 202);
    await ended();
    const done = (await basicsIn(store)) - ENTRIES;
    t.ok(done > 0 && done <= BEGUN_MAX, `${done}: those that had been begun`);
    t.equal((await kickOff()).status, 401);
  });

  await t.test('threat 13: a token of another issuer that ends in the middle of a job', async (t) => {
    const { store, close } = await adapter.open();
    const { clock, watched, meanwhile, pass } = stage(store);
    const renew = async (principal: Principal) =>
      clock.now() < (principal.external?.expires ?? 0) ? principal : undefined;
    const { engine, askAs } = await engineOn(watched, { clock, renew, lookMs: 10 });
    engine.background.start();
    t.teardown(async () => {
      await engine.background.stop();
      await close();
    });
    const ask = askAs(gateway(clock.now() + 60_000));
    const answer = (method: 'GET' | 'POST', url: string, body?: object) => answerLater(ask, method, url, body);
    const statuses = (entry: Reply['json']): string[] =>
      entry.resource.entry.map((each: { response: { status: string } }) => each.response.status);
    t.strictSame(statuses(await answer('POST', '', basics(3))), Array(3).fill('201 Created'));
    meanwhile(async () => pass(60_000));
    const cut = statuses(await answer('POST', '', basics(ENTRIES)));
    const done = cut.filter((each) => each === '201 Created').length;
    t.ok(done > 0 && done <= BEGUN_MAX, `${done}: those that had been begun`);
    t.strictSame(cut.slice(BEGUN_MAX), Array(ENTRIES - BEGUN_MAX).fill('403 Forbidden'));
    t.match(await answer('GET', 'Basic'), { response: { status: '403 Forbidden' } }, 'nor is a new one begun');
    t.match(await answer('POST', '', { ...basics(2), type: 'transaction' }), { response: { status: '403 Forbidden' } });
    t.equal(await basicsIn(store), 3 + done);
  });

  await t.test('threat 13: what was found while the right ended is not kept', async (t) => {
    const { store, close } = await adapter.open();
    let moved = 0;
    let isOver = false;
    const clock = { now: () => Date.now() + moved, newId: systemClock.newId };
    const watched = new Proxy(store, {
      get(target, name) {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (name === 'search') {
            isOver = true;
            moved += 1_000;
          }
          return value.apply(target, args);
        };
      },
    });
    const renew = async (principal: Principal) => (isOver ? undefined : principal);
    const { engine, ask: server, askAs } = await engineOn(watched, { clock, renew, lookMs: 10 });
    engine.background.start();
    t.teardown(async () => {
      await engine.background.stop();
      await close();
    });
    await server('PUT', 'Patient/a', { resourceType: 'Patient', id: 'a' });
    const entry = await answerLater(askAs(gateway(Number.MAX_SAFE_INTEGER)), 'GET', 'Patient');
    t.ok(isOver);
    t.match(entry, { response: { status: '403 Forbidden' } });
    t.notMatch(JSON.stringify(entry), /"id":"a"/);
  });
});

/** A machine with a token of another issuer. */
function gateway(expires: number): Principal {
  return {
    client: 'https://issuer.example#gateway',
    grant: 'external:https://issuer.example#gateway',
    scopes: [{ level: 'system', type: '*', can: ['c', 'r', 'u', 'd', 's'] }],
    purpose: 'TREAT',
    external: { issuer: 'https://issuer.example', expires },
  };
}

/** The one entry of an answer that was not waited for. */
async function answerLater(
  ask: TestEngine['ask'],
  method: 'GET' | 'POST',
  url: string,
  body?: object,
): Promise<Reply['json']> {
  const status = (await ask(method, url, body, LATER)).headers['Content-Location'] ?? '';
  for (;;) {
    const reply = await ask('GET', status);
    if (reply.status !== 202) return reply.json.entry[0];
    await pause(5);
  }
}

/** Jobs that have not ended. */
async function openJobs(store: Store): Promise<unknown[]> {
  const jobs = await store.records.list('job', { limit: 100 });
  return jobs
    .map(({ value }): { kind: string; state: string } => JSON.parse(value))
    .filter(({ kind, state }) => kind === 'request' && (state === 'waiting' || state === 'running'));
}
