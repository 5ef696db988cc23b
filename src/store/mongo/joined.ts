// Conditions with joins, decided on rows at hand: the rows that they refer to and the rows that refer to them are found
// for all that is asked in one turn of the event loop together. An aggregation with lookups for each row cost a read
// eight times as much.
import type { Document, FindCursor } from 'mongodb';
import { and, conjuncts } from '../conditions.ts';
import { type MatchedRow, matchesKeys } from '../match.ts';
import type { Condition, Key } from '../store.ts';
import { allOf, compile, hasJoin, keysWith, unindexed } from './compile.ts';
import { Budget, told } from './faults.ts';
import { Gathered } from './gathered.ts';
import { BY_ID, BY_KEY, type Collections, type ResourceDoc } from './layout.ts';

/** For all that is asked about one row, longer than it takes on a server that works. */
const DECISION_MS_MAX = 10_000;
/** Rows of one find. Where more refer to the rows that are asked about, each of those is asked about by itself. */
const FOUND_MAX = 1_000;
/** Rows decided on at once, where so many refer to one. */
const STEP = 100;

/** A live row as conditions see it. */
type SeenDoc = Pick<ResourceDoc, 't' | 'id' | 'lu' | 'ord' | 'idx' | 'terms'>;
const SEEN = { _id: 0, t: 1, id: 1, lu: 1, ord: 1, idx: 1, terms: 1 };

/** A resource that is asked about: its name, and its row as soon as that is there, undefined when it is not live. */
interface Subject {
  name: string;
  row: MatchedRow | Promise<MatchedRow | undefined>;
}

type Referred = Extract<Condition, { kind: 'referred' }>;

export class Joined {
  readonly #on: Collections;
  readonly #rows: Gathered<MatchedRow>;
  /** For each condition, the keys that some row has for which it holds. A caller's conditions stay the same objects. */
  readonly #referred = new WeakMap<Referred, Gathered<true>>();

  constructor(on: Collections) {
    this.#on = on;
    this.#rows = new Gathered((names) => this.#rowsNamed(names));
  }

  /** Whether a condition holds for a row. Throws StoreError('unavailable'), StoreError('too-costly'). */
  async holds(row: MatchedRow, condition: Condition): Promise<boolean> {
    return this.#holds({ name: `${row.type}/${row.id}`, row }, condition);
  }

  // Whatever has to be found is asked for before anything is waited for, so that it goes together.
  async #holds(subject: Subject, condition: Condition): Promise<boolean> {
    const { row } = subject;
    if (!hasJoin(condition)) {
      const seen = await row;
      return seen !== undefined && matchesKeys(seen, condition);
    }
    switch (condition.kind) {
      case 'and':
      case 'or': {
        const decisive = condition.kind === 'or';
        const plain = row instanceof Promise ? [] : condition.of.filter((part) => !hasJoin(part));
        if (plain.some((part) => matchesKeys(row as MatchedRow, part) === decisive)) return decisive;
        const answers = await Promise.all(condition.of.map((part) => this.#holds(subject, part)));
        return answers.includes(decisive) ? decisive : !decisive;
      }
      case 'not':
        return !(await this.#holds(subject, condition.of));
      case 'refers':
        return this.#refers((await row)?.keys ?? [], condition);
      case 'referred':
        return (await this.#referring(condition).get(condition.prefix + subject.name)) === true;
      default:
        throw new TypeError(`${condition.kind} is no join`);
    }
  }

  /** Whether one of the keys names a live row of the alias. */
  async #refers(keys: readonly Key[], { prefix, to }: Extract<Condition, { kind: 'refers' }>): Promise<boolean> {
    const start = `${prefix}${to.type}/`;
    const names = keys.filter((key) => key.startsWith(start)).map((key) => key.slice(prefix.length));
    const answers = await Promise.all(
      names.map(async (name) => {
        const row = this.#rows.get(name);
        const [seen, isTrue] = await Promise.all([row, this.#holds({ name, row }, to.where)]);
        return seen !== undefined && isTrue;
      }),
    );
    return answers.includes(true);
  }

  async #rowsNamed(names: readonly string[]): Promise<Map<string, MatchedRow>> {
    const filter = { _id: { $in: [...names] }, body: { $ne: null } };
    const options = { projection: SEEN, hint: BY_ID, batchSize: names.length + 1, maxTimeMS: DECISION_MS_MAX };
    const docs = await told(() => this.#on.resource.find<SeenDoc>(filter, options).toArray());
    return new Map(docs.map((doc) => [`${doc.t}/${doc.id}`, seenRow(doc)]));
  }

  #referring(condition: Referred): Gathered<true> {
    let referring = this.#referred.get(condition);
    if (referring === undefined) {
      const by = referringBy(condition);
      referring = new Gathered((keys) => this.#keysReferred(keys, by));
      this.#referred.set(condition, referring);
    }
    return referring;
  }

  /** Which of the keys a row has that is meant. */
  async #keysReferred(keys: readonly Key[], by: Referring): Promise<Map<Key, true>> {
    const found = await told(() => this.#find(keys, by).limit(FOUND_MAX).toArray());
    const meant = await this.#meant(found, by);
    const answers = new Map(meant.flatMap(({ idx = [] }) => idx).map((key) => [key, true] as const));
    if (found.length < FOUND_MAX) return answers;
    for (const key of keys) if (!answers.has(key) && (await this.#isReferred(key, by))) answers.set(key, true);
    return answers;
  }

  /** The same for one key that many rows may have: until one is meant. */
  async #isReferred(key: Key, by: Referring): Promise<boolean> {
    const budget = new Budget(DECISION_MS_MAX);
    const cursor = this.#find([key], by).batchSize(STEP);
    try {
      while (await told(() => cursor.hasNext())) {
        budget.leftMs();
        if ((await this.#meant(cursor.readBufferedDocuments(), by)).length > 0) return true;
      }
      return false;
    } finally {
      await cursor.close();
    }
  }

  async #meant(docs: readonly SeenDoc[], { rest }: Referring): Promise<readonly SeenDoc[]> {
    if (rest === undefined) return docs;
    const answers = await Promise.all(docs.map((doc) => this.holds(seenRow(doc), rest)));
    return docs.filter((_, at) => answers[at]);
  }

  #find(keys: readonly Key[], { type, filter, rest, prefix }: Referring): FindCursor<SeenDoc> {
    const projection = rest === undefined ? { _id: 0, idx: keysWith(prefix) } : SEEN;
    const options = { projection, hint: BY_KEY, maxTimeMS: DECISION_MS_MAX };
    const [only] = keys;
    const key = keys.length === 1 ? only : { $in: [...keys] };
    return this.#on.resource.find<SeenDoc>(allOf([{ idx: key, t: type }, unindexed(filter)]), options);
  }
}

/** The rows by which something is referred to: those of a type that `filter` finds and for which `rest` holds. */
interface Referring {
  prefix: Key;
  type: string;
  filter: Document;
  /** The conjuncts with joins; undefined: none. */
  rest: Condition | undefined;
}

function referringBy({ prefix, by: { type, where } }: Referred): Referring {
  const parts = conjuncts(where);
  const joined = parts.filter(hasJoin);
  const { filter } = compile(and(parts.filter((part) => !hasJoin(part))));
  return { prefix, type, filter, rest: joined.length === 0 ? undefined : and(joined) };
}

function seenRow({ t, id, lu, ord, idx = [], terms = [] }: SeenDoc): MatchedRow {
  return { type: t, id, lastUpdated: lu, ord, keys: idx, terms };
}
