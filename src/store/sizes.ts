// Sizes of lists, remembered for a while: they only guide the planner, and a long list stays long.
import type { Probe } from './planner.ts';
import type { Source } from './store.ts';

const LISTS_MAX = 2_000;
/** Ranges of time name other bounds each time: they are kept apart, so that they do not push out what is asked again. */
const RANGES_MAX = 200;
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
  const lists = new Map<string, Size>();
  const ranges = new Map<string, Size>();
  return (probe) => ({
    walksKeys: probe.walksKeys,
    overlaps: probe.overlaps,
    count(source, type, cap) {
      const name = `${type} ${JSON.stringify(source)}`;
      const [sizes, max] = isOfTime(source) ? [ranges, RANGES_MAX] : [lists, LISTS_MAX];
      const known = sizes.get(name);
      const now = performance.now();
      if (known !== undefined && known.until > now && (known.isWhole || known.atLeast >= cap)) {
        return Math.min(known.atLeast, cap);
      }
      const remember = (count: number): number => {
        if (count >= from && source.kind !== 'ids') {
          if (sizes.size >= max) sizes.clear();
          sizes.set(name, { atLeast: count, isWhole: count < cap, until: now + REMEMBERED_MS });
        }
        return count;
      };
      const count = probe.count(source, type, cap);
      return typeof count === 'number' ? remember(count) : count.then(remember);
    },
    keysIn: (span, max) => probe.keysIn(span, max),
    ordsIn: (span, max) => probe.ordsIn(span, max),
    few: (plan, options) => probe.few(plan, options),
  });
}

function isOfTime(source: Source): boolean {
  if (source.kind !== 'keys') return source.kind === 'lastUpdated';
  return source.of.some((part) => 'key' in part && part.ord !== undefined);
}
