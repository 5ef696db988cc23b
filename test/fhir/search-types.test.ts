// A search of all types: what it asks in a join is the same for each of them, and its time is that of one request.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import type { Filter, Search, Store } from '../../src/store/store.ts';
import { StoreView } from '../../src/store/store-view.ts';
import { engineOn } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

/** Each query takes its time. */
class SlowStore extends StoreView {
  asked = 0;
  readonly #pass: () => void;

  constructor(store: Store, pass: () => void) {
    super(store);
    this.#pass = pass;
  }

  override search(search: Search, filter: Filter): ReturnType<Store['search']> {
    this.asked += 1;
    this.#pass();
    return super.search(search, filter);
  }

  override count(...[alias, options, filter]: Parameters<Store['count']>): ReturnType<Store['count']> {
    this.asked += 1;
    this.#pass();
    return super.count(alias, options, filter);
  }
}

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  const { ask } = await engineOn(store);
  await ask('PUT', 'Patient/a', { resourceType: 'Patient', id: 'a' });
  await ask('PUT', 'Patient/other', { resourceType: 'Patient', id: 'other' });
  await ask('PUT', 'Location/b', { resourceType: 'Location', id: 'b' });
  await ask('PUT', 'Provenance/p', {
    resourceType: 'Provenance',
    id: 'p',
    recorded: '2024-01-01T00:00:00Z',
    target: [{ reference: 'Patient/a' }, { reference: 'Location/b' }],
    agent: [{ who: { display: 'somebody' } }],
  });

  await t.test('a join that is asked in each type', async (t) => {
    const found = async (query: string) => {
      const { json } = await ask('GET', `?_total=accurate&${query}`);
      const refs = (json.entry ?? []).map(
        ({ resource }: { resource: { resourceType: string; id: string } }) => `${resource.resourceType}/${resource.id}`,
      );
      t.equal(json.total, refs.length, query);
      return refs.sort();
    };
    t.same(await found('_has:Provenance:target:_id=p'), ['Location/b', 'Patient/a']);
    t.same(await found('_has:Provenance:target:target._id=a'), ['Location/b', 'Patient/a']);
    t.same(await found('_has:Provenance:target:target._id=other'), []);
    t.same(await found('_has:ActivityDefinition:successor:successor._lastUpdated=ne2013-04-02'), []);
  });

  await t.test('its time is bounded, over however many types', async (t) => {
    const { now } = performance;
    let passed = 0;
    performance.now = () => now.call(performance) + passed;
    t.teardown(() => {
      performance.now = now;
    });
    const slow = new SlowStore(store, () => {
      passed += limits.queryBudgetMs / 10;
    });
    const { ask } = await engineOn(slow);
    t.equal((await ask('GET', '?_type=Patient,Location&_id=a')).status, 200);
    for (const query of ['_id=a', '_id=a&_sort=_lastUpdated', '_id=a&_summary=count']) {
      slow.asked = 0;
      const { status, json } = await ask('GET', `?${query}`);
      t.equal(status, 422, query);
      t.match(json.issue, [{ code: 'too-costly', diagnostics: /_type/ }]);
      t.ok(slow.asked <= 21, `${query}: asked ${slow.asked} times`);
    }
  });
  await close();
});
