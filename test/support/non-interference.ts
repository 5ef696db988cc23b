// The oracle of access: what a principal is answered on the full store must be what anybody is answered on a store that
// holds only what the principal may see. Where the rules themselves tell more, they are told here, each by name:
// - 403 is known from the principal alone, so an empty store must give it, too.
// - what seals a page is compared without its seal, and every page is followed.
// - a rehearsed write is decided by what the principal may write, which slow-access.ts knows.
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../src/base/clock.ts';
import type { Caller } from '../../src/fhir/caller.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import type { Store } from '../../src/store/store.ts';
import { baseUrl, engineOn, nextLink, type Reply, type TestEngine } from './engine.ts';
import { type Ask, AskMaker } from './random-asks.ts';
import { randomPrincipal } from './random-principals.ts';
import { randomRecord, recordTypes } from './random-records.ts';
import { randomTerminology, terminologyCount } from './random-resources.ts';
import { below, pick, type Random } from './random-search.ts';
import { chance, madeIds } from './random-values.ts';
import { type KeptResource, type Reducer, reducerOf } from './reduced-store.ts';
import { type MadePrincipal, SlowAccess, type SlowVersion } from './slow-access.ts';
import type { StoredResource } from './slow-criteria.ts';
import { SlowSearch } from './slow-search.ts';
import { type Adapter, sqlite } from './stores.ts';
import { writeDifference } from './write-oracle.ts';

const TIME_ZONE = 'America/New_York';
const PAGES_MAX = 8;

export interface SteppedClock extends Clock {
  step(ms: number): void;
}

export function steppedClock(): SteppedClock {
  let now = Date.UTC(2024, 1, 28, 23, 0, 0);
  let ids = 0;
  const step = (ms: number): void => {
    now += ms;
  };
  return { now: () => now, newId: () => `made-${++ids}`, step };
}

/** What a test may do to the tested side, to see whether that is found. */
export interface Tampering {
  store(store: Store): Store;
  caller(caller: Caller, made: MadePrincipal, tested: TestEngine): Caller;
  asking(ask: Ask): void;
}

const NO_TAMPERING: Tampering = { store: (store) => store, caller: (caller) => caller, asking: () => {} };

/** Who asks now, and what is to be seen of the store. */
interface Turn {
  made: MadePrincipal & { isEven: boolean };
  caller: Caller;
  access: SlowAccess;
  by: 'r' | 's';
  /** Types of which a version is left out that stood after one that is kept: at what time it did, a copy cannot tell. */
  gaps: ReadonlySet<string>;
}

export class Interference {
  pairs = 0;
  /** Of them, answers with something in them. */
  full = 0;
  readonly kinds = new Map<string, number>();
  readonly #definitions = loadDefinitions();
  readonly #versions = new Map<string, SlowVersion[]>();
  readonly #slow: SlowSearch;
  readonly #asks: AskMaker;
  readonly #clock: SteppedClock;
  readonly #random: Random;
  readonly #sides: { tested: TestEngine; reduced: TestEngine; empty: TestEngine };
  readonly #reducer: Reducer;
  readonly #tampering: Tampering;
  readonly #close: () => Promise<void>;

  private constructor(
    sides: { tested: TestEngine; reduced: TestEngine; empty: TestEngine },
    reducer: Reducer,
    options: { clock: SteppedClock; random: Random; tampering: Tampering },
    close: () => Promise<void>,
  ) {
    this.#sides = sides;
    this.#reducer = reducer;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#tampering = options.tampering;
    this.#close = close;
    this.#slow = new SlowSearch({ definitions: this.#definitions, baseUrl, timeZone: TIME_ZONE });
    this.#asks = new AskMaker(options.random, this.#slow, this.#definitions, () => this.#clock.now());
  }

  static async on(adapter: Adapter, random: Random, tampering = NO_TAMPERING): Promise<Interference> {
    const clock = steppedClock();
    const [full, reduced, empty] = [await adapter.open(clock), await adapter.open(clock), await sqlite.open(clock)];
    const options = { clock, timeZone: TIME_ZONE };
    const sides = {
      tested: await engineOn(tampering.store(full.store), options),
      reduced: await engineOn(reduced.store, options),
      empty: await engineOn(empty.store, options),
    };
    const reducer = await reducerOf(full.url, reduced.url);
    const run = new Interference(sides, reducer, { clock, random, tampering }, async () => {
      await reducer.close();
      await Promise.all([full.close(), reduced.close(), empty.close()]);
    });
    for (let at = 0; at < terminologyCount; at++) await run.#put([randomTerminology(random, at)]);
    return run;
  }

  close = (): Promise<void> => this.#close();

  // ---- the full store ----

  /** Some hundred writes: creations, changes, moves from patient to patient, other labels, deletions. */
  async change(transactions: number): Promise<void> {
    for (let left = transactions; left > 0; left--) {
      this.#clock.step(pick(this.#random, [1, 1000, 60_000, 600_000]));
      const names = new Set(
        Array.from({ length: 12 }, () => `${pick(this.#random, recordTypes)}/${pick(this.#random, madeIds)}`),
      );
      const resources = [...names].map((name) => {
        const [type = '', id = ''] = name.split('/');
        if (chance(this.#random, 0.12)) return { resourceType: type, id, isDeleted: true };
        return randomRecord(this.#random, type, id, this.#clock.now());
      });
      await this.#put(resources);
    }
  }

  async #put(resources: readonly Record<string, unknown>[]): Promise<void> {
    const entry = resources.map((resource) => {
      const url = `${resource.resourceType}/${resource.id}`;
      return 'isDeleted' in resource
        ? { request: { method: 'DELETE', url } }
        : { resource, request: { method: 'PUT', url } };
    });
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry };
    const reply = await this.#sides.tested.ask('POST', '', bundle, { Prefer: 'return=representation' });
    if (reply.status !== 200) throw new Error(`the records were refused: ${reply.text.slice(0, 500)}`);
    for (const [at, { resourceType, id }] of (resources as { resourceType: string; id: string }[]).entries()) {
      const { resource } = reply.json.entry[at] as { resource?: StoredResource & { meta: { versionId: string } } };
      const name = `${resourceType}/${id}`;
      const versions = this.#versions.get(name) ?? [];
      this.#versions.set(name, versions);
      if (resource !== undefined) {
        versions.push({ version: Number(resource.meta.versionId), resource });
        this.#slow.put(resource);
      } else if (versions.at(-1)?.resource !== undefined) {
        versions.push({ version: (versions.at(-1)?.version ?? 0) + 1, resource: undefined });
        this.#slow.delete(resourceType, id);
      }
    }
  }

  // ---- turns ----

  /** Somebody else asks from now on. */
  async turn(): Promise<Turn> {
    const made = randomPrincipal(this.#random);
    const by = !made.isEven && chance(this.#random, 0.5) ? 's' : 'r';
    const access = new SlowAccess(made, this.#slow, this.#definitions, this.#clock.now());
    const kept: KeptResource[] = [];
    const gaps = new Set<string>();
    for (const [name, versions] of this.#versions) {
      const visible = access.visible(versions, by);
      if (visible.length === 0) continue;
      const [type = '', id = ''] = name.split('/');
      if (versions.length - versions.indexOf(visible[0] as SlowVersion) > visible.length) gaps.add(type);
      const hidden = access.hidden(type);
      kept.push({
        type,
        id,
        versions: visible.map(({ version }) => version),
        ...(hidden.length === 0 ? {} : { masked: (body) => without(hidden, body) }),
      });
    }
    await this.#reducer.reduceTo(kept);
    const { tested } = this.#sides;
    const caller = this.#tampering.caller(tested.engine.callerOf(made.principal), made, tested);
    return { made, caller, access, by, gaps };
  }

  /** One request of whose turn it is; what is wrong with the answer in words, or undefined. */
  async compare(turn: Turn, kinds?: RegExp): Promise<string | undefined> {
    const ask = this.#asks.ask();
    if (kinds?.test(ask.kind) === false) return undefined;
    // Of who may read what it may not search, one store shows what one of the two permissions lets through.
    if (!turn.made.isEven && ask.by !== turn.by) return undefined;
    if (ask.isPast === true && turn.gaps.size > 0) return undefined;
    // The copy has no hidden elements, but finds by them as before; the rule is tested by itself.
    if (leadsByHidden(ask, turn.access)) return undefined;
    this.#tampering.asking(ask);
    this.pairs++;
    this.kinds.set(ask.kind, (this.kinds.get(ask.kind) ?? 0) + 1);
    const wrong = await inTime(this.#difference(ask, turn));
    if (wrong === undefined) return undefined;
    const asked = `${ask.method} ${ask.url} ${ask.body === undefined ? '' : JSON.stringify(ask.body).slice(0, 1500)}`;
    return `${ask.kind}: ${asked} ${JSON.stringify(ask.headers ?? {})}\nby ${JSON.stringify(turn.made.principal)}\n(now ${new Date(this.#clock.now()).toISOString()}) ${wrong}`;
  }

  async #difference(ask: Ask, turn: Turn): Promise<string | undefined> {
    const { tested, reduced } = this.#sides;
    const answer = (side: TestEngine, url: string, as?: Caller) =>
      side.ask(ask.method, url, ask.body, ask.headers ?? {}, as);
    let [own, expected]: [Reply, Reply] = [await answer(tested, ask.url, turn.caller), await answer(reduced, ask.url)];
    if ([own, expected].some(isTooMuch)) return undefined;
    // Within these, what was found before decides whether it comes to what is refused.
    const isSeveral = ask.kind === '$graphql' || ask.kind === 'transaction';
    if (isSeveral && /with this token|what you may not see/.test(own.text)) return undefined;
    if (isRefused(own)) return this.#refusal(ask, turn.caller, own);
    if (ask.write !== undefined) {
      return writeDifference(ask, own, expected, {
        access: turn.access,
        caller: turn.caller,
        live: this.#slow.resources,
        isKnown: (name) => this.#versions.has(name),
        search: async (url) => reduced.ask('GET', url),
      });
    }
    if (expected.json?.entry?.length > 0 || (expected.status === 200 && expected.json?.entry === undefined))
      this.full++;
    for (let pages = 1; ; pages++) {
      const wrong = ask.kind === 'batch' ? await this.#batchDiffers(ask, turn, own, expected) : differs(own, expected);
      if (wrong !== undefined) return `page ${pages}: ${wrong}`;
      const [next, expectedNext] = [nextLinkOf(own), nextLinkOf(expected)];
      if (next === undefined || expectedNext === undefined || pages === PAGES_MAX) return undefined;
      const follow = (side: TestEngine, url: string, as?: Caller) => side.ask('GET', url, undefined, {}, as);
      [own, expected] = [await follow(tested, next, turn.caller), await follow(reduced, expectedNext)];
      if ([own, expected].some(isTooMuch)) return undefined;
    }
  }

  /** What the principal may never do is refused wherever it asks. */
  async #refusal(ask: Ask, caller: Caller, own: Reply): Promise<string | undefined> {
    const { empty } = this.#sides;
    const elsewhere = await empty.ask(ask.method, ask.url, ask.body, ask.headers ?? {}, caller);
    if (elsewhere.status === own.status && elsewhere.text === own.text) return undefined;
    // An empty store has no hierarchies of codes either, and says so before it is asked to write.
    if (elsewhere.text.includes('is not known here')) return undefined;
    return `is refused for what is there: ${own.text}\nand on an empty store ${elsewhere.status} ${elsewhere.text.slice(0, 300)}`;
  }

  /** Entry by entry, since each is allowed or refused by itself. */
  async #batchDiffers(ask: Ask, { caller }: Turn, own: Reply, expected: Reply): Promise<string | undefined> {
    const refused: Reply[] = [];
    for (const [at, entry] of (own.json?.entry ?? []).entries()) {
      if (!entry.response.status.startsWith('403')) {
        const [mine, theirs] = [entry, expected.json?.entry?.[at]].map((one) => replyWith(one, own));
        const wrong = mine && theirs && differs(mine, theirs);
        if (wrong !== undefined) return wrong;
      } else refused.push(entry);
    }
    if (refused.length === 0) return undefined;
    const elsewhere = await this.#sides.empty.ask(ask.method, ask.url, ask.body, {}, caller);
    const texts = (elsewhere.json?.entry ?? []).map((entry: unknown) => JSON.stringify(entry));
    const late = refused.find((entry) => !texts.includes(JSON.stringify(entry)));
    return late && `an entry is refused for what is there: ${JSON.stringify(late)}`;
  }
}

function leadsByHidden({ url, body }: Ask, access: SlowAccess): boolean {
  const isHiding = ['Encounter', 'Patient'].some((type) => access.hidden(type).length > 0);
  return (
    isHiding &&
    /include[^=]*=(\*|Encounter:(diagnosis|reason-reference|\*)|Patient:(link|\*))/.test(url + JSON.stringify(body))
  );
}

/** Longer than any answer takes. */
const ANSWER_MS = 30_000;

async function inTime(work: Promise<string | undefined>): Promise<string | undefined> {
  const over = new AbortController();
  const late = pause(ANSWER_MS, 'is not answered', { signal: over.signal }).catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}

/** Time and cost are the store's own. */
const isTooMuch = ({ text }: Reply): boolean => /"code":"(too-costly|timeout|throttled)"/.test(text);

const isRefused = ({ status, text }: Reply): boolean =>
  status === 403 && (text.includes('with this token') || text.includes('what you may not see'));

const nextLinkOf = (reply: Reply): string | undefined =>
  Array.isArray(reply.json?.link) ? nextLink(reply) : undefined;

const replyWith = (entry: unknown, { status, headers }: Reply): Reply => ({
  status,
  headers,
  json: entry,
  text: JSON.stringify(entry ?? null),
});

const unsealed = (text: string): string => text.replace(/_page=[^"&]+/g, '_page=');

function differs(own: Reply, expected: Reply): string | undefined {
  // Which of several entries or value sets is at fault first is a matter of chance.
  const isChance = ({ status, text }: Reply): boolean =>
    status >= 400 && (text.includes('"Bundle.entry[') || text.includes('is not known here'));
  if (isChance(own) && isChance(expected)) return undefined;
  if (own.status !== expected.status) {
    return `is answered ${own.status} ${own.text.slice(0, 600)}\ninstead of ${expected.status} ${expected.text.slice(0, 600)}`;
  }
  if (!isDeepStrictEqual(own.headers, expected.headers)) {
    return `has headers ${JSON.stringify(own.headers)}\ninstead of ${JSON.stringify(expected.headers)}`;
  }
  const [mine, theirs] = [unsealed(own.text), unsealed(expected.text)];
  if (mine === theirs) return undefined;
  return entriesDiffer(own, expected) ?? `is answered\n${mine.slice(0, 1500)}\ninstead of\n${theirs.slice(0, 1500)}`;
}

/** What one has and the other has not. */
function entriesDiffer(own: Reply, expected: Reply): string | undefined {
  const texts = ({ json }: Reply): string[] => (json?.entry ?? []).map((entry: unknown) => JSON.stringify(entry));
  const [mine, theirs] = [texts(own), texts(expected)];
  const extra = mine.filter((one) => !theirs.includes(one));
  const missing = theirs.filter((one) => !mine.includes(one));
  if (extra.length + missing.length === 0) return undefined;
  const list = (entries: string[]): string => entries.slice(0, 2).join('\n').slice(0, 2000);
  return `total ${own.json.total} and ${expected.json.total}; shows too much:\n${list(extra)}\nand too little:\n${list(missing)}`;
}

/** The text of a resource without some elements, tagged as FHIR wants it. */
function without(hidden: readonly string[], body: string): string {
  const resource = JSON.parse(body) as Record<string, unknown> & { meta: { tag?: object[] } };
  for (const element of hidden) delete resource[element];
  const { tag = [], ...meta } = resource.meta;
  const system = 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue';
  const cut = { system, code: 'SUBSETTED', display: 'subsetted' };
  return JSON.stringify({ ...resource, meta: { ...meta, tag: [...tag, cut] } });
}

/** Runs turns until time or pairs are over, or something is wrong; what was wrong, in words. */
export async function lookFor(
  run: Interference,
  random: Random,
  { isOver, perTurn = 120, kinds }: { isOver(): boolean; perTurn?: number; kinds?: RegExp },
): Promise<string | undefined> {
  if (run.pairs === 0) await run.change(40);
  while (!isOver()) {
    await run.change(1 + below(random, 6));
    for (let turns = 0; turns < 6 && !isOver(); turns++) {
      const turn = await run.turn();
      for (let left = perTurn; left > 0; left--) {
        const wrong = await run.compare(turn, kinds);
        if (wrong !== undefined) return wrong;
      }
    }
  }
  return undefined;
}
