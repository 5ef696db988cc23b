// threat 37: one practice is one store. There is no tenant within a store, and so no filter that could forget it; two practices
// are two stores, which share nothing, also where one process or one database server has both.
import t from 'tap';
import { everything } from '../../src/fhir/access/callers.ts';
import { addPublicApp, benchOn, isLive, tokensFor } from '../auth/support.ts';
import { engineOn, nextLink } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

await onBothStores(t, async (t, adapter) => {
  await t.test('threat 37: what is written in one store is in no other', async (t) => {
    const opened = [await adapter.open(), await adapter.open()] as const;
    t.teardown(() => Promise.all(opened.map(({ close }) => close())));
    const [one, other] = [await engineOn(opened[0].store, { audit: true }), await engineOn(opened[1].store)];
    for (let at = 0; at < 3; at++) {
      const about = { name: [{ family: `Canary${at}` }], meta: { tag: [{ code: 'canary' }] } };
      t.equal(
        (await one.ask('PUT', `Patient/canary-${at}`, { resourceType: 'Patient', id: `canary-${at}`, ...about }))
          .status,
        201,
      );
    }
    await one.ask('PATCH', 'Patient/canary-0', [{ op: 'add', path: '/active', value: true }], {
      'Content-Type': 'application/json-patch+json',
    });
    await one.ask('DELETE', 'Patient/canary-2');
    await opened[0].store.records.put({ kind: 'canary', id: 'canary', value: '1' }, 0);
    const asked = [
      ...['Patient/canary-0', 'Patient/canary-0/_history/1', 'Patient/canary-2', 'Patient/canary-0/_history'],
      ...['Patient?name=canary', 'Patient?_total=accurate', 'Patient/_history', '_history', '?_type=Patient'],
      ...['Patient/canary-0/$everything', 'AuditEvent?_lastUpdated=gt2000', 'Patient?_sort=family', '$meta'],
    ];
    for (const url of asked) {
      t.match((await one.ask('GET', url)).text, /canary|deleted|Canary/i, `${url} at the first`);
      const { status, json, text } = await other.ask('GET', url);
      t.notMatch(text.replaceAll(url, '').replaceAll(encodeURIComponent(url), ''), /Canary\d|"canary-/, url);
      if (status === 200 && json.total !== undefined) t.equal(json.total, 0, url);
    }
    t.equal(await opened[1].store.records.get('canary', 'canary'), undefined);
    t.same(await opened[1].store.records.list('canary', { limit: 10 }), []);
    t.same([...(await opened[1].store.stats())], []);
    t.same((await opened[1].store.audit.rows({ descending: false, limit: 10 })).rows, []);
    t.equal(await opened[1].store.read('Patient', 'canary-0', everything), undefined);
    t.equal((await other.ask('PUT', 'Patient/canary-0', { resourceType: 'Patient', id: 'canary-0' })).status, 201);
    t.match((await one.ask('GET', 'Patient/canary-0')).text, 'Canary0', 'nor is it written over');
    const next = nextLink(await one.ask('GET', 'Patient?name=canary&_count=1')) ?? '';
    t.equal((await one.ask('GET', next)).status, 200);
    t.equal((await other.ask('GET', next)).status, 400, 'a paging link is of its own store');
  });

  await t.test('threat 37: a token of one store opens no other', async (t) => {
    const [one, other] = [await benchOn(t, adapter), await benchOn(t, adapter)];
    const client = await addPublicApp(one);
    await addPublicApp(other);
    const { json } = await tokensFor(one, client, { scope: 'patient/*.rs offline_access', patient: 'pat' });
    t.equal(await isLive(one, json.access_token), true);
    t.equal(await isLive(other, json.access_token), false);
    t.equal(await other.server.clients.get(client.id), undefined);
    t.same(await other.server.grants.ofUser('user-ann'), []);
  });
});
