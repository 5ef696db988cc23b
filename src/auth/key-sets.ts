// Key sets of others, fetched and kept for a while: "The FHIR authorization server SHALL NOT cache a JWKS for longer than the
// client's cache-control header indicates."
// https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#signature-verification
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Outbound, OutboundAnswer } from '../base/net.ts';
import type { PublicJwk } from './clients.ts';
import { publicKeys } from './jwt.ts';

export interface KeySets {
  /**
   * The keys at this URL; with `kid`, fetched anew where what is kept lacks it, if the last fetch is a while ago.
   * Empty when they cannot be had: that is told to `onFault`.
   */
  keysAt(url: string, kid?: string): Promise<readonly PublicJwk[]>;
}

interface KeptSet {
  keys: readonly PublicJwk[];
  fetched: number;
  freshUntil: number;
}

/** Without a word from the server, and the longest in any case. */
const FRESH_MS = 5 * 60_000;
const FRESH_MS_MAX = 60 * 60_000;

/** A token may name any kid: unknown ones do not make us fetch more often than this. */
const COOLDOWN_MS = 30_000;

const SETS_MAX = 1_000;

interface Options {
  outbound: Outbound;
  clock: Clock;
  onFault(error: unknown): void;
}

export function createKeySets({ outbound, clock, onFault }: Options): KeySets {
  const kept = new Map<string, KeptSet>();
  const underWay = new Map<string, Promise<KeptSet>>();

  return {
    async keysAt(url, kid) {
      const now = clock.now();
      const known = kept.get(url);
      const isFresh = known !== undefined && known.freshUntil > now;
      const hasKey = kid === undefined || known?.keys.some((key) => key.kid === kid) === true;
      const isCooling = known !== undefined && known.fetched + COOLDOWN_MS > now;
      if (isFresh && (hasKey || isCooling)) return known.keys;
      // One fetch serves all who wait for it.
      const fetching = underWay.get(url) ?? fetched(url).finally(() => underWay.delete(url));
      underWay.set(url, fetching);
      return (await fetching).keys;
    },
  };

  async function fetched(url: string): Promise<KeptSet> {
    const set = await fetchSet(url);
    kept.delete(url);
    if (kept.size >= SETS_MAX) kept.delete(kept.keys().next().value ?? '');
    kept.set(url, set);
    return set;
  }

  async function fetchSet(url: string): Promise<KeptSet> {
    const now = clock.now();
    try {
      const headers = { accept: 'application/json' };
      const answer = await outbound.send({ url, headers, bytesMax: limits.jwksBytesMax, timeoutMs: limits.outboundMs });
      const keys = answer.status === 200 ? publicKeys(JSON.parse(answer.body.toString('utf8'))) : undefined;
      if (keys === undefined) throw new Error('the answer is no key set');
      return { keys, fetched: now, freshUntil: now + freshFor(answer) };
    } catch (error) {
      onFault(error);
      // A server that fails is left alone for a moment.
      return { keys: [], fetched: now, freshUntil: now + COOLDOWN_MS / 10 };
    }
  }
}

/** Milliseconds. https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2 */
function freshFor(answer: OutboundAnswer): number {
  const control = answer.header('cache-control')?.toLowerCase() ?? '';
  if (/\bno-(store|cache)\b/.test(control)) return 0;
  const age = /\bmax-age=(\d{1,9})\b/.exec(control)?.[1];
  return age === undefined ? FRESH_MS : Math.min(Number(age) * 1000, FRESH_MS_MAX);
}
