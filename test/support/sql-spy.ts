// Loaded before a process and each of its threads: writes every SQL text that SQLite is given to a file, with its thread.
import { appendFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { threadId } from 'node:worker_threads';

const file = process.env.CARELOOM_TEST_SQL ?? '';
const { prepare, exec } = DatabaseSync.prototype;

const note = (text: string): void => appendFileSync(file, `${JSON.stringify([threadId, text])}\n`);

DatabaseSync.prototype.prepare = function (text, ...more) {
  note(text);
  return prepare.call(this, text, ...more);
};
DatabaseSync.prototype.exec = function (text) {
  note(text);
  exec.call(this, text);
};
