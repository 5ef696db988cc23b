// What somebody with access to the store can do to the audit record behind the server's back.
import { DatabaseSync } from 'node:sqlite';
import { MongoClient } from 'mongodb';

export interface Tampering {
  /** Changes the agent of the nth line, by time, from 0. */
  change(nth: number): Promise<void>;
  /** Takes the last lines away. */
  cutOff(lines: number): Promise<void>;
}

/** `url`: as CARELOOM_STORE takes it. */
export function tampering(url: string): Tampering {
  return url.startsWith('sqlite:') ? ofSqlite(url.slice('sqlite:'.length)) : ofMongo(url);
}

function ofSqlite(path: string): Tampering {
  const run = async (statement: string): Promise<void> => {
    const db = new DatabaseSync(path, { timeout: 5_000 });
    for (const trigger of ['audit_update', 'audit_delete', 'audit_patient_delete'])
      db.exec(`DROP TRIGGER IF EXISTS ${trigger}`);
    db.exec(statement);
    db.close();
  };
  const last = (lines: number): string => `SELECT max(seq) - ${lines} FROM audit`;
  return {
    change: (nth) => run(`UPDATE audit SET agent = 'somebody' WHERE seq = ${nth + 1}`),
    cutOff: (lines) =>
      run(`DELETE FROM audit_patient WHERE seq > (${last(lines)}); DELETE FROM audit WHERE seq > (${last(lines)})`),
  };
}

function ofMongo(url: string): Tampering {
  // biome-ignore lint/suspicious/noExplicitAny: documents of the driver
  const run = async (work: (audit: any) => Promise<void>): Promise<void> => {
    const client = await MongoClient.connect(url);
    await work(client.db().collection('audit'));
    await client.close();
  };
  return {
    change: (nth) =>
      run(async (audit) => {
        const found = await audit.find().sort({ at: 1, chain: 1, seq: 1 }).skip(nth).limit(1).toArray();
        await audit.updateOne({ _id: found[0]._id }, { $set: { agent: 'somebody' } });
      }),
    cutOff: (lines) =>
      run(async (audit) => {
        const found = await audit.find().sort({ at: -1, chain: -1, seq: -1 }).limit(lines).toArray();
        for (const { _id } of found) await audit.deleteOne({ _id });
      }),
  };
}
