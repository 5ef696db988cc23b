// What is refused before the engine is on record as well, and whoever has no token must not fill the disk by it: refusals
// of one kind from one place become one line a minute, and no answer waits for it. What was counted since the last line
// is lost with a process that is killed; the log has each request.
import { limits } from '../base/limits.ts';
import type { SecurityEvent } from '../fhir/audit/security-event.ts';
import { addressKey } from './rate.ts';

export interface Refusal {
  /** `token-refused`: a token that is none. `refused`: not allowed at all. `throttled`: too often, or too much at once. */
  kind: 'token-refused' | 'refused' | 'throttled';
  address?: string;
  client?: string;
  /** As in a SecurityEvent. */
  user?: string;
}

export interface RefusalsOptions {
  /** Puts an event on record; durable when it resolves. */
  record(event: SecurityEvent): Promise<void>;
  /** Milliseconds since the epoch. */
  now: () => number;
  onFault(error: unknown): void;
}

interface Counted {
  refusal: Refusal;
  count: number;
  first: number;
  last: number;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  #counted = new Map<string, Counted>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** Counts one. Returns at once. */
  note(refusal: Refusal): void {
    const now = this.#options.now();
    this.#add({ refusal, count: 1, first: now, last: now });
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.flush(), limits.refusalFlushMs);
    this.#timer.unref();
  }

  /** Puts on record what was counted; what cannot be recorded is kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counted = [...this.#counted.values()];
    this.#counted = new Map();
    await Promise.all(
      counted.map(async (one) => {
        try {
          await this.#options.record(eventOf(one));
        } catch (error) {
          this.#options.onFault(error);
          this.#add(one);
        }
      }),
    );
  }

  /** Beyond so many places, those of a kind are counted together. */
  #add({ refusal, count, first, last }: Counted): void {
    const { kind, address = '', client = '', user = '' } = refusal;
    const own = [kind, client, user, client === '' ? addressKey(address) : ''].join('\n');
    const hasRoom = this.#counted.has(own) || this.#counted.size < limits.refusalKeysMax;
    const key = hasRoom ? own : kind;
    const known = this.#counted.get(key);
    this.#counted.set(key, {
      refusal: hasRoom ? refusal : { kind },
      count: (known?.count ?? 0) + count,
      first: Math.min(known?.first ?? first, first),
      last: Math.max(known?.last ?? last, last),
    });
  }
}

function eventOf({ refusal, count, first, last }: Counted): SecurityEvent {
  const span = `from ${new Date(first).toISOString()} to ${new Date(last).toISOString()}`;
  const isOfMany = refusal.address === undefined && refusal.client === undefined;
  const where = isOfMany ? ', from more places than are told apart' : '';
  return {
    ...refusal,
    outcome: 'denied',
    detail: `${TOLD[refusal.kind]}: ${count} ${count === 1 ? 'time' : 'times'} ${span}${where}`,
  };
}

const TOLD: Readonly<Record<Refusal['kind'], string>> = {
  'token-refused': 'The access token is malformed, unknown, expired or revoked',
  refused: 'Refused before anything was looked at',
  throttled: 'Too many requests',
};
