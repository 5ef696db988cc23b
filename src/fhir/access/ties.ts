// Of which types the security contexts of Binaries are here, and which elements have Binaries attached: of a hundred
// types that could be, a handful is, and the conditions of a Binary are made of those alone. A type that is not noted yet
// opens nothing, so that being late closes.
import type { Store, Write } from '../../store/store.ts';
import { type Tie, tieOf, tiePrefix } from '../search/attachments.ts';
import { spans } from '../search/keys.ts';

/** Types of contexts, and elements such as `Media.content`, in no order. A set that does not change. */
export interface Ties {
  contexts: readonly string[];
  elements: readonly string[];
}

export interface NotedTies {
  /** Another object whenever something was added. */
  readonly now: Ties;
  /** Adds what is about to be written; what was noted once stays. */
  note(writes: readonly Pick<Write, 'keys'>[]): void;
  /** Adds what is in the store. */
  refresh(): Promise<void>;
  /** Begins and ends to look for what other processes wrote. */
  start(): void;
  stop(): Promise<void>;
}

interface TiesOptions {
  store: Store;
  lookMs?: number | undefined;
  onFault: (error: unknown, kind: string) => void;
}

const LOOK_MS = 3_000;
/** There are 146 types and some 40 elements. */
const TIES_MAX = 1_000;

export function createNotedTies({ store, lookMs = LOOK_MS, onFault }: TiesOptions): NotedTies {
  let ties: Ties = { contexts: [], elements: [] };
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  const add = (keys: readonly string[]): void => {
    for (const key of keys) {
      const tie = key.startsWith(tiePrefix) ? tieOf(key) : undefined;
      if (tie !== undefined) ties = withTie(ties, tie);
    }
  };
  const refresh = async (): Promise<void> => add((await store.keysIn(spans.following(tiePrefix), TIES_MAX)) ?? []);
  const look = (): void => {
    looking ??= refresh()
      .catch((error) => onFault(error, 'ties of Binaries'))
      .finally(() => {
        looking = undefined;
      });
  };
  return {
    get now() {
      return ties;
    },
    note(writes) {
      for (const { keys } of writes) add(keys);
    },
    refresh,
    start() {
      clearInterval(timer);
      if (!store.isShared) return;
      timer = setInterval(look, lookMs);
      timer.unref();
    },
    async stop() {
      clearInterval(timer);
      await looking;
    },
  };
}

function withTie(ties: Ties, tie: Tie): Ties {
  const { contexts, elements } = ties;
  if (tie.kind === 'context')
    return contexts.includes(tie.type) ? ties : { contexts: [...contexts, tie.type], elements };
  return elements.includes(tie.element) ? ties : { contexts, elements: [...elements, tie.element] };
}
