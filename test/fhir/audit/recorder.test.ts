// What each interaction leaves in the audit record, and that nothing is answered that is not in it.
import t from 'tap';
import type { Caller } from '../../../src/fhir/caller.ts';
import { compartmentKey } from '../../../src/fhir/search/keys.ts';
import { type AuditEntry, type Store, StoreError } from '../../../src/store/store.ts';
import { callerWith } from '../../support/callers.ts';
import { nextLink } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { allLines, type Line, principal, recordingOn } from './support.ts';

const patient = (id: string) => ({ resourceType: 'Patient', id, name: [{ family: 'Quennell' }] });
const weight = (subject: string, id?: string) => ({
  resourceType: 'Observation',
  ...(id === undefined ? {} : { id }),
  status: 'final',
  code: { text: 'weight' },
  subject: { reference: `Patient/${subject}` },
});

/** Sees the compartment of one patient. */
const seeing = (id: string): Caller => ({
  ...callerWith({ of: (type) => ({ kind: 'key', key: compartmentKey(id, type) }) }),
  principal: principal(),
});

const put = (resource: { resourceType: string; id: string }) =>
  [`${resource.resourceType}/${resource.id}`, { method: 'PUT', body: resource }] as const;

const people = (line: Line | undefined): string[] => [...(line?.patients ?? [])].sort();

/** The store, with a record that takes nothing. */
const withoutRecord = (store: Store): Store =>
  new Proxy(store, {
    get(target, name) {
      if (name === 'audit') {
        return {
          append: async (_: readonly AuditEntry[]) => {
            throw new StoreError('unavailable', 'the disk is full');
          },
          rows: target.audit.rows.bind(target.audit),
          heads: target.audit.heads.bind(target.audit),
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'every interaction has its line, with the patients whose data it touched': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    const only = async (work: () => Promise<unknown>): Promise<Line> => {
      const [line, ...more] = await linesOf(work);
      t.equal(more.length, 0, 'one line');
      if (line === undefined) throw new Error('no line');
      return line;
    };

    let line = await only(() => ask(...put(patient('a'))));
    t.match(line, { agent: 'anonymous', patients: ['a'], body: { k: 'update', t: 'Patient', i: 'a' } });
    t.same(line.body.written, ['Patient/a/_history/1']);
    t.match(line.body, { a: '192.0.2.7', r: 'request-1' });
    await ask(...put(patient('b')));

    line = await only(() => ask('Observation', { method: 'POST', body: weight('a') }));
    t.match(line, { patients: ['a'], body: { k: 'create', s: 201, n: { Observation: 1 } } });
    const [name = ''] = line.body.written?.[0]?.split('/_history') ?? [];

    line = await only(() => ask(name));
    t.match(line, { patients: ['a'], body: { k: 'read', s: 200, t: 'Observation' } });
    line = await only(() => ask(`${name}/_history/1`));
    t.match(line, { patients: ['a'], body: { k: 'vread', v: '1' } });

    line = await only(() => ask(name, { method: 'PUT', body: { ...weight('b'), id: name.split('/')[1] } }));
    t.same(people(line), ['a', 'b'], 'moved from one patient to another: both');
    line = await only(() => ask(`${name}/_history`));
    t.same(people(line), ['a', 'b'], 'each version belongs to its own patient');
    t.equal(line.body.k, 'history-instance');
    line = await only(() => ask('Observation/_history'));
    t.match(line.body, { k: 'history-type', n: { Observation: 2 } });
    line = await only(() => ask('_history?_count=1'));
    t.match(line.body, { k: 'history-system', q: '_history?_count=1' });

    const change = [{ op: 'replace', path: '/status', value: 'amended' }];
    const headers = { 'content-type': 'application/json-patch+json' };
    line = await only(() => ask(name, { method: 'PATCH', body: change, headers }));
    t.match(line, { patients: ['b'], body: { k: 'patch', s: 200 } });
    t.match(line.body.written, [`${name}/_history/3`]);
    line = await only(() => ask(name, { method: 'PATCH', body: change, headers }));
    t.match(line, { patients: ['b'], body: { k: 'patch', s: 200 } }, 'nothing changed, but it was shown');
    t.equal(line.body.written, undefined);

    line = await only(() => ask(name, { method: 'DELETE' }));
    t.match(line, { patients: ['b'], body: { k: 'delete', s: 204 } });
    line = await only(() => ask(name));
    t.match(line, { patients: ['b'], body: { k: 'read', s: 410 } }, 'also of what was deleted');
    line = await only(() => ask(name, { method: 'DELETE' }));
    t.match(line.body, { k: 'delete', s: 204 });
    t.equal(line.body.written, undefined);

    line = await only(() => ask('Patient?name=quennell&_sort=name'));
    t.same(people(line), ['a', 'b']);
    t.match(line.body, { k: 'search-type', t: 'Patient', q: 'Patient?name=quennell&_sort=name', n: { Patient: 2 } });
    line = await only(() => ask('Patient/_search', { method: 'POST', body: 'name=quennell' }));
    t.match(line.body, { k: 'search-type', q: 'Patient/_search', f: 'name=quennell' });
    line = await only(() => ask('Patient?name=quennell&_summary=count'));
    t.match(line, { patients: [], body: { k: 'search-type', s: 200 } }, 'a number shows nobody');
    line = await only(() => ask('Observation?patient=a&code=x'));
    t.same(people(line), ['a'], 'who asks about somebody and finds nothing has asked');
    line = await only(() => ask('Patient/a/Observation'));
    t.match(line, { patients: ['a'], body: { k: 'search-compartment' } });
    line = await only(() => ask('?_type=Patient,Observation'));
    t.match(line.body, { k: 'search-system' });
    line = await only(() => ask('Patient/a/$everything'));
    t.match(line, { patients: ['a'], body: { k: '$everything', t: 'Patient', i: 'a' } });

    t.same(await linesOf(() => ask('metadata')), [], 'what is public is not recorded');
    line = await only(() => ask('Patient/nobody'));
    t.match(line, { patients: [], body: { k: 'read', s: 404, i: 'nobody' } });
    t.equal(line.body.d, undefined);
  },
  'only what is shown counts, whatever part of it': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    for (const id of ['a', 'b', 'c']) {
      await ask(...put(patient(id)));
      await ask(...put({ ...weight(id, `w-${id}`), id: `w-${id}` }));
    }
    const shown = async (url: string): Promise<string[]> => people((await linesOf(() => ask(url)))[0]);
    t.equal((await shown('Patient?_count=2&_sort=family')).length, 2, 'not the first of the next page');
    t.equal((await shown('?_type=Patient,Observation&_sort=_lastUpdated&_count=1')).length, 1);
    t.same(await shown('Observation?_id=w-a&_include=Observation:subject'), ['a']);
    t.same(await shown('Observation?_id=w-b&_elements=status'), ['b'], 'a part of it is shown');
    t.same(await shown('Patient/c?_summary=true'), ['c']);
    const first = await ask('Patient?_count=2&_sort=family');
    t.equal((await shown(nextLink(first) ?? '')).length, 1, 'each page for itself');
    t.same(await shown(`Patient?_asOf=${new Date().toISOString()}`), ['a', 'b', 'c']);
  },
  'a transaction is one line in its own transaction; each entry of a batch has its own': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    await ask(...put(patient('c')));
    const entry = (method: string, url: string, resource?: object) => ({
      request: { method, url },
      ...(resource === undefined ? {} : { resource }),
    });
    const bundle = (type: string, entries: object[]) => ({ resourceType: 'Bundle', type, entry: entries });
    const writes = [entry('PUT', 'Patient/a', patient('a')), entry('POST', 'Observation', weight('b'))];
    const lines = await linesOf(() => ask('', { method: 'POST', body: bundle('transaction', writes) }));
    t.equal(lines.length, 1);
    t.same(people(lines[0]), ['a', 'b']);
    t.match(lines[0]?.body, { k: 'transaction', n: { Patient: 1, Observation: 1 } });
    t.equal(lines[0]?.body.written?.length, 2);

    const read = await linesOf(() =>
      ask('', { method: 'POST', body: bundle('transaction', [...writes, entry('GET', 'Patient/c')]) }),
    );
    t.same([...new Set(read.flatMap(people))].sort(), ['a', 'b', 'c'], 'with what it reads');

    const each = await linesOf(() =>
      ask('', {
        method: 'POST',
        body: bundle('batch', [...writes, entry('GET', 'Patient/c'), entry('GET', 'Patient/x')]),
      }),
    );
    t.same(each.map(({ body }) => `${body.k} ${body.s}`).sort(), [
      'batch 200',
      'create 201',
      'read 200',
      'read 404',
      'update 200',
    ]);
    t.equal(new Set(each.map(({ body }) => body.r)).size, 1, 'all of one request');

    const failed = await linesOf(() =>
      ask('', { method: 'POST', body: bundle('transaction', [...writes, entry('GET', 'Patient/x')]) }),
    );
    t.match(failed, [{ body: { k: 'bundle', s: 404 } }]);
    t.equal(failed.length, 1);
  },
  'failures and refusals are recorded, with what the client is not told': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    await ask(...put(patient('a')));
    await ask(...put(patient('b')));
    const one = async (...asked: Parameters<typeof ask>) => (await linesOf(() => ask(...asked)))[0];
    t.match(await one('Patient/a', { method: 'PUT', body: patient('a'), headers: { 'if-match': 'W/"9"' } }), {
      patients: ['a'],
      body: { k: 'update', s: 412 },
    });
    t.match(await one('Patient?nonsense=1'), { body: { k: 'search-type', s: 400, q: 'Patient?nonsense=1' } });
    t.match(await one('Patient', { method: 'POST', body: '{' }), { body: { k: 'create', s: 400 } });

    const hidden = await one('Patient/b', { caller: seeing('a') });
    t.match(hidden, { agent: 'Practitioner/1', patients: ['b'], body: { k: 'read', s: 404, d: 1 } });
    t.match(hidden?.body, { u: 'u1', c: 'app', g: 'grant-1', p: 'TREAT', o: ['clinician'], x: /hidden/ });
    const absent = await one('Patient/x', { caller: seeing('a') });
    t.equal(absent?.body.d, undefined);
    const same = [await ask('Patient/b', { caller: seeing('a') }), await ask('Patient/x', { caller: seeing('a') })];
    t.equal(same[0]?.text.replaceAll('Patient/b', 'Patient/x'), same[1]?.text, 'the client cannot tell');

    const gone = await one('Patient/b', { method: 'DELETE', caller: seeing('a') });
    t.match(gone, { patients: ['b'], body: { k: 'delete', s: 204, d: 1 } }, 'a deletion of what is hidden');
    t.equal((await ask('Patient/b')).status, 200);

    const refused = callerWith({ of: () => ({ kind: 'none' }) });
    t.match(await one('Patient/a', { caller: { ...refused, principal: principal() } }), {
      patients: ['a'],
      body: { k: 'read', s: 403, d: 1 },
    });
    t.match(
      await one('Patient/a', {
        caller: { ...refused, principal: { client: 'lab', grant: 'g', scopes: [], purpose: 'TREAT' } },
      }),
      {
        agent: 'client:lab',
      },
    );
  },
  'a dry run is recorded as one, and writes nothing': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    const headers = { prefer: 'dry-run' };
    const lines = await linesOf(() => ask('Patient/a', { method: 'PUT', body: patient('a'), headers }));
    t.match(lines, [{ body: { k: 'update', y: 1 } }]);
    t.equal(lines.length, 1);
    const bundle = {
      resourceType: 'Bundle',
      type: 'batch',
      entry: [{ request: { method: 'PUT', url: 'Patient/a' }, resource: patient('a') }],
    };
    const batch = await linesOf(() => ask('', { method: 'POST', body: bundle, headers }));
    t.same(batch.map(({ body }) => [body.k, body.y]).sort(), [
      ['batch', 1],
      ['update', 1],
    ]);
    t.equal((await ask('Patient/a')).status, 404);
  },
  'what touches more patients than a line names takes several lines': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, linesOf } = await recordingOn(store);
    const entry = Array.from({ length: 1_500 }, (_, at) => ({
      request: { method: 'PUT', url: `Patient/p${at}` },
      resource: { resourceType: 'Patient', id: `p${at}` },
    }));
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry };
    const lines = await linesOf(() => ask('', { method: 'POST', body: bundle }));
    t.same(lines.map(({ patients }) => patients.length).sort(), [1_000, 500]);
  },
  'threat 40: an answer that cannot be recorded is not sent': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask } = await recordingOn(store);
    await ask(...put(patient('a')));
    const failing = await recordingOn(withoutRecord(store));
    for (const url of [
      'Patient/a',
      'Patient?name=quennell',
      'Patient/x',
      'Patient/a/_history',
      'Patient/a/$everything',
    ]) {
      const { status, text } = await failing.ask(url);
      t.equal(status, 503, url);
      t.notMatch(text, /Quennell/);
    }
  },
  'a commit that fails leaves no line of its own': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask } = await recordingOn(store);
    await ask(...put(patient('a')));
    const before = (await allLines(store)).length;
    const writes = await Promise.all(
      Array.from({ length: 8 }, () =>
        ask('Patient/a', { method: 'PUT', body: patient('a'), headers: { 'if-match': 'W/"1"' } }),
      ),
    );
    t.equal(writes.filter(({ status }) => status === 200).length, 1);
    const lines = (await allLines(store)).slice(before);
    t.equal(lines.filter(({ body }) => body.written !== undefined).length, 1);
    t.equal(lines.filter(({ body }) => body.s === 412).length, 7);
  },
};

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);
