// How often may be tried. Each attempt is counted before any secret is looked at, in records that all processes share, and
// what was right is taken back. Unknown login names are counted like known ones, so that a refusal tells nothing.
// A stranger who fails on purpose can slow a person down but not lock them out: the wait ends at 15 minutes, a browser
// that the person has signed in from has a count of its own, and passkeys, which cannot be guessed, are not counted.
// https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Records } from '../../store/store.ts';
import { changeKept } from '../change.ts';
import { createKept, type Kept } from '../kept.ts';
import { hashOf } from '../secret-value.ts';

export interface Attempt {
  /** What was tried was right: it does not count. */
  succeeded(): Promise<void>;
  /** Whether the account has to wait if this one fails: the moment to put it on record. */
  isLast: boolean;
}

export interface Lockout {
  /**
   * `account`: what is guessed at, such as a login name; `device`: a browser known for it. Resolves to how long to wait
   * (ms) when it was tried too often.
   */
  begin(what: { account: string; device?: string; address: string }): Promise<Attempt | { waitMs: number }>;
}

interface Count {
  count: number;
  /** Nothing may be tried before. */
  until: number;
  /** When the counting began. */
  since: number;
}

export function createLockout({ records, clock }: { records: Records; clock: Clock }): Lockout {
  const counts = createKept<Count>(records, 'attempts');
  return {
    async begin({ account, device, address }) {
      const from = `address:${hashOf(networkOf(address))}`;
      const waitMs = await countAddress(counts, clock, from);
      if (waitMs > 0) return { waitMs };
      const at = device === undefined ? `account:${hashOf(account)}` : `device:${hashOf(device)}`;
      const counted = await countAccount(counts, clock, at);
      if (counted.waitMs > 0) {
        await uncount(counts, from);
        return { waitMs: counted.waitMs };
      }
      return {
        isLast: counted.count >= limits.loginFailuresMax,
        async succeeded() {
          await counts.remove(at);
          await uncount(counts, from);
        },
      };
    },
  };
}

/** 30 per 15 minutes; how long to wait, or 0. */
function countAddress(counts: Kept<Count>, clock: Clock, at: string): Promise<number> {
  return changeKept<Count, number>(counts, at, (kept) => {
    const now = clock.now();
    const isOver = kept === undefined || now - kept.since >= limits.loginWindowMs;
    const { count, since } = isOver ? { count: 0, since: now } : kept;
    if (count >= limits.loginFailuresPerAddressMax) return { result: since + limits.loginWindowMs - now };
    return { keep: { count: count + 1, since, until: 0 }, expires: since + limits.loginWindowMs, result: 0 };
  });
}

function uncount(counts: Kept<Count>, at: string): Promise<undefined> {
  return changeKept<Count, undefined>(counts, at, (kept) =>
    kept === undefined
      ? { result: undefined }
      : {
          keep: { ...kept, count: Math.max(0, kept.count - 1) },
          expires: kept.since + limits.loginWindowMs,
          result: undefined,
        },
  );
}

/** Five, then one after 1, 2, 4, 8, 15, 15, … minutes; all over after 15 minutes without an attempt. */
function countAccount(counts: Kept<Count>, clock: Clock, at: string): Promise<{ count: number; waitMs: number }> {
  return changeKept<Count, { count: number; waitMs: number }>(counts, at, (kept) => {
    const now = clock.now();
    if (kept !== undefined && kept.until > now) return { result: { count: kept.count, waitMs: kept.until - now } };
    const isOver = kept === undefined || now - Math.max(kept.since, kept.until) >= limits.loginWindowMs;
    const count = isOver ? 1 : kept.count + 1;
    const beyond = count - limits.loginFailuresMax;
    const until = beyond < 0 ? 0 : now + Math.min(60_000 * 2 ** beyond, limits.loginWindowMs);
    const expires = Math.max(now, until) + limits.loginWindowMs;
    return { keep: { count, since: now, until }, expires, result: { count, waitMs: 0 } };
  });
}

/** One household or attacker has a whole /64 of IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array.from({ length: gap }, () => '0'), ...right]
    .slice(0, 4)
    .map((group) => group.padStart(4, '0').toLowerCase())
    .join(':');
}
