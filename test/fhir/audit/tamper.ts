// What somebody with access to the store can do to the audit record behind the server's back.
import { DatabaseSync } from 'node:sqlite';
import { MongoClient } from 'mongodb';

export interface Tampering {
  /** Changes the agent of the nth line, by time, from 0. */
  change(nth: number): Promise<void>;
  /** Takes the last lines away. */
  cutOff(lines: number): Promise<void>;
  /** Takes a line that is not sealed away, by its number. */
  remove(seq: number): Promise<void>;
  /** From now on sealing fails before its last step; resolves to what ends that. */
  breakSealing(): Promise<() => Promise<void>>;
  segments: SegmentTampering;
}

/** Segments of the only chain, by the number of their first line. */
export interface SegmentTampering {
  /** Changes the packed rows. */
  change(from: number, change: (packed: Buffer) => Buffer): Promise<void>;
  /** Changes what the segment says of itself. */
  say(
    from: number,
    member: 'to' | 'hash' | 'before' | 'at' | 'earliest' | 'latest' | 'purged',
    value: string | number,
  ): Promise<void>;
  /** Takes the packed rows away. */
  empty(from: number): Promise<void>;
  remove(from: number): Promise<void>;
  /** Takes the names away by which it is found. */
  unname(from: number): Promise<void>;
}

/** `url`: as CARELOOM_STORE takes it. */
export function tampering(url: string): Tampering {
  return url.startsWith('sqlite:') ? ofSqlite(url.slice('sqlite:'.length)) : ofMongo(url);
}

function ofSqlite(path: string): Tampering {
  const run = async (work: (db: DatabaseSync) => void): Promise<void> => {
    const db = new DatabaseSync(path, { timeout: 5_000 });
    const triggers = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'audit%'").all();
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`);
    work(db);
    db.close();
  };
  const exec = (statements: string): Promise<void> => run((db) => db.exec(statements));
  const last = (lines: number): string => `SELECT max(seq) - ${lines} FROM audit`;
  const remove = (where: string): Promise<void> =>
    exec(`DELETE FROM audit_patient WHERE seq ${where}; DELETE FROM audit WHERE seq ${where}`);
  const columns = { to: 'last', hash: 'hash', before: 'before', at: 'at', earliest: 'earliest', latest: 'latest' };
  return {
    change: (nth) => exec(`UPDATE audit SET agent = 'somebody' WHERE seq = ${nth + 1}`),
    cutOff: (lines) => remove(`> (${last(lines)})`),
    remove: (seq) => remove(`= ${seq}`),
    async breakSealing() {
      const db = new DatabaseSync(path, { timeout: 5_000 });
      db.exec("CREATE TRIGGER sealing BEFORE DELETE ON audit WHEN OLD.seq = 5 BEGIN SELECT RAISE(ABORT, 'stop'); END");
      return async () => {
        db.exec('DROP TRIGGER sealing');
        db.close();
      };
    },
    segments: {
      change: (from, change) =>
        run((db) => {
          const found = db.prepare('SELECT rows FROM audit_packed WHERE first = ?').get(from);
          const rows = change(Buffer.from(found?.rows as Uint8Array));
          db.prepare('UPDATE audit_packed SET rows = ? WHERE first = ?').run(rows, from);
          db.prepare('UPDATE audit_segment SET bytes = ? WHERE first = ?').run(rows.length, from);
        }),
      say: (from, member, value) =>
        run((db) => {
          const told = typeof value === 'string' ? Buffer.from(value, 'hex') : value;
          if (member === 'purged') db.prepare('INSERT INTO audit_purged VALUES (?, ?)').run(from, value);
          else db.prepare(`UPDATE audit_segment SET ${columns[member]} = ? WHERE first = ?`).run(told, from);
        }),
      empty: (from) => exec(`DELETE FROM audit_packed WHERE first = ${from}`),
      remove: (from) =>
        exec(
          ['segment', 'packed', 'name'].map((table) => `DELETE FROM audit_${table} WHERE first = ${from}`).join(';'),
        ),
      unname: (from) => exec(`DELETE FROM audit_name WHERE first = ${from}`),
    },
  };
}

function ofMongo(url: string): Tampering {
  // biome-ignore lint/suspicious/noExplicitAny: documents of the driver
  const run = async (work: (db: any) => Promise<unknown>): Promise<void> => {
    const client = await MongoClient.connect(url, { promoteBuffers: true });
    await work(client.db());
    await client.close();
  };
  const lines = async (
    // biome-ignore lint/suspicious/noExplicitAny: as above
    db: any,
    way: 1 | -1,
    { skip, limit }: { skip: number; limit: number },
  ): Promise<{ _id: unknown }[]> =>
    db.collection('audit').find().sort({ at: way, chain: way, seq: way }).skip(skip).limit(limit).toArray();
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const idOf = async (db: any, from: number): Promise<{ _id: string }> => {
    const { _id } = await db.collection('segment').findOne({ from });
    return { _id };
  };
  return {
    change: (nth) =>
      run(async (db) => {
        const [line] = await lines(db, 1, { skip: nth, limit: 1 });
        await db.collection('audit').updateOne({ _id: line?._id }, { $set: { agent: 'somebody' } });
      }),
    cutOff: (count) =>
      run(async (db) => {
        const found = await lines(db, -1, { skip: 0, limit: count });
        for (const { _id } of found) await db.collection('audit').deleteOne({ _id });
      }),
    remove: (seq) => run((db) => db.collection('audit').deleteOne({ seq })),
    async breakSealing() {
      const only = (validator: object): Promise<void> => run((db) => db.command({ collMod: 'segmentRows', validator }));
      await only({ rows: { $type: 'string' } });
      return () => only({});
    },
    segments: {
      change: (from, change) =>
        run(async (db) => {
          const id = await idOf(db, from);
          const { rows } = await db.collection('segmentRows').findOne(id);
          const changed = change(rows);
          await db.collection('segmentRows').updateOne(id, { $set: { rows: changed } });
          await db.collection('segment').updateOne(id, { $set: { bytes: changed.length } });
        }),
      say: (from, member, value) =>
        run(async (db) => {
          const told = typeof value === 'string' && member !== 'purged' ? Buffer.from(value, 'hex') : value;
          await db.collection('segment').updateOne(await idOf(db, from), { $set: { [member]: told } });
        }),
      empty: (from) => run(async (db) => db.collection('segmentRows').deleteOne(await idOf(db, from))),
      remove: (from) => run((db) => db.collection('segment').deleteOne({ from })),
      unname: (from) => run(async (db) => db.collection('segmentName').deleteOne(await idOf(db, from))),
    },
  };
}
