// How often somebody may ask, and how much of it at once. Memory is bounded: who has not asked for longest is forgotten.
import { isIPv6 } from 'node:net';
import { limits } from '../base/limits.ts';

export interface Rate {
  /** What comes back each second. */
  perSecond: number;
  /** What may be taken in one go after a pause. */
  burst: number;
}

/** A bucket of tokens for each key: full at first, refilled evenly, one taken by each request. */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** In order of their last use. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** `now`: milliseconds. */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes one. 0 when there was one, else the seconds, rounded up, until there is. */
  take(key: string): number {
    const now = this.#now();
    const tokens = this.#tokens(key, now);
    this.#keep(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    return this.#secondsUntilOne(tokens);
  }

  /** What `take` would answer; nothing is taken. */
  wait(key: string): number {
    return this.#secondsUntilOne(this.#tokens(key, this.#now()));
  }

  #tokens(key: string, now: number): number {
    const { perSecond, burst } = this.#rate;
    const known = this.#buckets.get(key);
    if (known === undefined) return burst;
    // A clock that was set back refills nothing.
    return Math.min(burst, known.tokens + (Math.max(0, now - known.at) / 1000) * perSecond);
  }

  #secondsUntilOne(tokens: number): number {
    return tokens >= 1 ? 0 : Math.max(1, Math.ceil((1 - tokens) / this.#rate.perSecond));
  }

  #keep(key: string, bucket: { tokens: number; at: number }): void {
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size <= limits.rateKeysMax) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}

/** What auth/ counts by client, which it alone knows; addresses are counted at the edge. */
export function clientRates(now: () => number): Record<'tokens' | 'proofs' | 'boundRequests', TokenBuckets> {
  const { clientTokensPerS, clientTokensBurst, clientProofsPer15Min, clientProofsBurst } = limits;
  const { clientRequestsPerS, clientRequestsBurst } = limits;
  return {
    tokens: new TokenBuckets({ perSecond: clientTokensPerS, burst: clientTokensBurst }, now),
    proofs: new TokenBuckets({ perSecond: clientProofsPer15Min / 900, burst: clientProofsBurst }, now),
    boundRequests: new TokenBuckets({ perSecond: clientRequestsPerS, burst: clientRequestsBurst }, now),
  };
}

/** What each key has in work at this moment. */
export class Slots {
  readonly #max: number;
  readonly #onFull: (key: string) => void;
  readonly #taken = new Map<string, number>();

  /** `onFull` is told of each that was not given. */
  constructor(max: number, onFull: (key: string) => void = () => {}) {
    this.#max = max;
    this.#onFull = onFull;
  }

  /** False when all are taken. What was taken is released once. */
  take(key: string): boolean {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.#max) {
      this.#onFull(key);
      return false;
    }
    this.#taken.set(key, taken + 1);
    return true;
  }

  release(key: string): void {
    const taken = this.#taken.get(key) ?? 0;
    if (taken > 1) this.#taken.set(key, taken - 1);
    else this.#taken.delete(key);
  }
}

/** What addresses are counted by: with IPv6 the network of 64 bits, of which one subscriber has all addresses. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0');
  const groups = tail === undefined ? left : [...left, ...zeros, ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
