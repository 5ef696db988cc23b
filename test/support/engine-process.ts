// An engine in an operating-system process of its own, on a store that others use too. Forked by tests:
// requests come in as messages, answers and the changes read from the outbox go back.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { Change } from '../../src/store/store.ts';
import { engineOn, type Reply, type TestEngine } from './engine.ts';

type Question =
  | { kind: 'ask'; arguments: Parameters<TestEngine['ask']> }
  | { kind: 'changes'; after: string; limit: number };
type Result = { ok: unknown } | { error: string };

export interface EngineProcess {
  ask(...asked: Parameters<TestEngine['ask']>): Promise<Reply>;
  changes(after: string, limit: number): Promise<Change[]>;
  close(): Promise<void>;
}

/** `url` as CARELOOM_STORE takes it. Rejects with the message of what prevented the start. */
export async function startEngineProcess(url: string): Promise<EngineProcess> {
  const child = fork(fileURLToPath(import.meta.url), [url], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' },
    serialization: 'advanced',
  });
  // A child whose parent is gone is disconnected, and ends; see below.
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let asked = 0;
  let hasEnded = false;
  const started = Promise.withResolvers<void>();
  child.on('message', (message: { id: number; result: Result }) => {
    const { id, result } = message;
    const settle = id < 0 ? { resolve: () => started.resolve(), reject: started.reject } : waiting.get(id);
    waiting.delete(id);
    if ('ok' in result) settle?.resolve(result.ok);
    else settle?.reject(new Error(result.error));
  });
  child.on('exit', () => {
    hasEnded = true;
    const gone = new Error('the engine process ended');
    started.reject(gone);
    for (const { reject } of waiting.values()) reject(gone);
  });
  await started.promise;
  const send = (question: Question): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = asked++;
      waiting.set(id, { resolve, reject });
      child.send({ id, question });
    });
  return {
    ask: (...request) => send({ kind: 'ask', arguments: request }) as Promise<Reply>,
    changes: (after, limit) => send({ kind: 'changes', after, limit }) as Promise<Change[]>,
    close: async () => {
      if (hasEnded) return;
      const exit = once(child, 'exit');
      child.disconnect();
      await exit;
    },
  };
}

async function answerParent(url: string): Promise<void> {
  const tell = (id: number, result: Result): void => void process.send?.({ id, result });
  try {
    const store = url.startsWith('sqlite:')
      ? await openSqliteStore({ path: url.slice('sqlite:'.length), clock: systemClock })
      : await openMongoStore({ url, clock: systemClock });
    const { ask } = await engineOn(store);
    process.on('disconnect', () => void store.close().finally(() => process.exit(0)));
    process.on('message', ({ id, question }: { id: number; question: Question }) => {
      const work =
        question.kind === 'ask' ? ask(...question.arguments) : store.outbox.after(question.after, question.limit);
      Promise.resolve<unknown>(work).then(
        (ok) => tell(id, { ok }),
        (error: unknown) => tell(id, { error: String(error) }),
      );
    });
    tell(-1, { ok: true });
  } catch (error) {
    tell(-1, { error: String(error) });
    process.exitCode = 1;
    process.disconnect?.();
  }
}

const [, program, url] = process.argv;
if (program === fileURLToPath(import.meta.url) && url !== undefined) await answerParent(url);
