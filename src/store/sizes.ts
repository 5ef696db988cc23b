// Sizes of lists, remembered for a while: they only guide the planner, and a long list stays long.
import type { Probe } from './planner.ts';
import type { Source } from './store.ts';

const REMEMBERED_MAX = 2_000;
const REMEMBERED_MS = 30_000;

interface Size {
  atLeast: number;
  /** Counting went to the end. */
  isWhole: boolean;
  until: number;
}

/**
 * Makes probes remember what they counted, together, as far as it was `from` or more: shorter lists change soonest, and
 * where counting is cheap they are counted each time.
 */
export function sizesRemembered(from: number): (probe: Probe) => Probe {
  const sizes = new Map<string, Size>();
  return (probe) => ({
    walksKeys: probe.walksKeys,
    count(source, type, cap) {
      const name = `${type} ${JSON.stringify(source)}`;
      const known = sizes.get(name);
      const now = performance.now();
      if (known !== undefined && known.until > now && (known.isWhole || known.atLeast >= cap)) {
        return Math.min(known.atLeast, cap);
      }
      const remember = (count: number): number => {
        if (count >= from && isList(source)) {
          if (sizes.size >= REMEMBERED_MAX) sizes.clear();
          sizes.set(name, { atLeast: count, isWhole: count < cap, until: now + REMEMBERED_MS });
        }
        return count;
      };
      const count = probe.count(source, type, cap);
      return typeof count === 'number' ? remember(count) : count.then(remember);
    },
    few: (plan, options) => probe.few(plan, options),
  });
}

/** A range of time names other bounds each time; it would only push out what is asked again. */
function isList(source: Source): boolean {
  return source.kind === 'keys' || source.kind === 'type';
}
