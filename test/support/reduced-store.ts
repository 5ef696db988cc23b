// A second store that is made to hold a part of another one: whole rows are copied, with their versions, instants and
// places, and what is not named is not there. Beside the stores' own code, which might share a fault with what is tested.
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Binary, MongoClient } from 'mongodb';

/** What is to be there of a resource: the version that is current and those before, with what their bodies become. */
export interface KeptResource {
  type: string;
  id: string;
  versions: readonly number[];
  masked?(body: string): string;
}

export interface Reducer {
  reduceTo(kept: readonly KeptResource[]): Promise<void>;
  close(): Promise<void>;
}

/** `full` and `reduced`: as CARELOOM_STORE takes them, both of one kind. */
export const reducerOf = async (full: string, reduced: string): Promise<Reducer> =>
  full.startsWith('sqlite:')
    ? sqliteReducer(full.slice('sqlite:'.length), reduced.slice('sqlite:'.length))
    : mongoReducer(full, reduced);

// ---- SQLite ----

function sqliteReducer(full: string, reduced: string): Reducer {
  const db = new DatabaseSync(reduced, { timeout: 5000 });
  db.exec('PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;');
  db.prepare('ATTACH ? AS f').run(full);
  db.exec('CREATE TEMP TABLE seen (type TEXT, id TEXT, v INTEGER, PRIMARY KEY (type, id, v)) WITHOUT ROWID');
  const see = db.prepare('INSERT INTO temp.seen VALUES (?, ?, ?)');
  const bodyOf = (table: string) => db.prepare(`SELECT body FROM f.${table} WHERE rid = ? AND v = ?`);
  return {
    async reduceTo(kept) {
      db.exec('BEGIN IMMEDIATE; DELETE FROM temp.seen');
      for (const { type, id, versions } of kept) for (const v of versions) see.run(type, id, v);
      db.exec(COPY);
      for (const table of ['resource', 'history']) maskRows(table);
      db.exec('COMMIT');
      // When a store sees what others have committed.
      await nextTurn();

      function maskRows(table: string): void {
        const change = db.prepare(`UPDATE main.${table} SET body = ? WHERE rid = ? AND v = ?`);
        const rows = db.prepare('SELECT rid FROM f.resource WHERE type = ? AND id = ?');
        for (const { type, id, versions, masked } of kept) {
          if (masked === undefined) continue;
          const { rid } = rows.get(type, id) as { rid: number };
          for (const v of versions) {
            const row = bodyOf(table).get(rid, v) as { body: Uint8Array | null } | undefined;
            if (row?.body) change.run(Buffer.from(masked(Buffer.from(row.body).toString('utf8'))), rid, v);
          }
        }
      }
    },
    async close() {
      db.close();
    },
  };
}

const COPY = `
DELETE FROM main.resource; DELETE FROM main.idx; DELETE FROM main.history;
INSERT INTO main.term (term) VALUES ('delete-all');
INSERT INTO main.resource SELECT r.* FROM f.resource r JOIN temp.seen s ON s.type = r.type AND s.id = r.id AND s.v = r.v;
INSERT INTO main.idx SELECT i.* FROM f.idx i WHERE i.rid IN (SELECT rid FROM main.resource);
INSERT INTO main.term (rowid, tokens) SELECT rid, terms FROM main.resource WHERE body IS NOT NULL AND terms <> '';
INSERT INTO main.history SELECT h.* FROM f.history h JOIN main.resource r ON r.rid = h.rid
  JOIN temp.seen s ON s.type = r.type AND s.id = r.id AND s.v = h.v;
`;

// ---- MongoDB ----

interface Doc {
  _id: string;
  body: Binary | null;
}

async function mongoReducer(full: string, reduced: string): Promise<Reducer> {
  const [from, to] = await Promise.all([MongoClient.connect(full), MongoClient.connect(reduced)]);
  const collection = (client: MongoClient, name: string) => client.db().collection<Doc>(name, { promoteValues: true });
  return {
    async reduceTo(kept) {
      const current = new Map<string, KeptResource>();
      const past = new Map<string, KeptResource>();
      for (const one of kept) {
        const name = `${one.type}/${one.id}`;
        const [last, ...before] = [...one.versions].reverse();
        if (last !== undefined) current.set(name, one);
        for (const version of before) past.set(`${name}/${version}`, one);
      }
      for (const [name, wanted] of [
        ['resource', current],
        ['history', past],
      ] as const) {
        const docs = await collection(from, name)
          .find({ _id: { $in: [...wanted.keys()] } })
          .toArray();
        await collection(to, name).deleteMany({});
        if (docs.length > 0) await collection(to, name).insertMany(docs.map((doc) => maskedDoc(doc, wanted)));
      }
    },
    async close() {
      await Promise.all([from.close(), to.close()]);
    },
  };
}

function maskedDoc(doc: Doc, wanted: ReadonlyMap<string, KeptResource>): Doc {
  const { masked } = wanted.get(doc._id) ?? {};
  if (masked === undefined || doc.body === null) return doc;
  return { ...doc, body: new Binary(Buffer.from(masked(Buffer.from(doc.body.buffer).toString('utf8')))) };
}
