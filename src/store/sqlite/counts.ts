// Sizes of lists, remembered for a while: they only guide the planner, and a long list stays long.
import type { Probe, Source } from '../planner.ts';
import { countSource, fewMatches } from './find.ts';
import type { Connection } from './sql.ts';

/** Shorter lists are counted each time: it costs less than 0.1 ms, and they change soonest. */
const REMEMBERED_MIN = 1_000;
const REMEMBERED_MAX = 2_000;
const REMEMBERED_MS = 30_000;

interface Size {
  atLeast: number;
  /** Counting went to the end. */
  isWhole: boolean;
  until: number;
}

/** Answers the planner from a connection. */
export function createProbe(open: () => Connection): Probe {
  const sizes = new Map<string, Size>();
  return {
    count(source, type, cap) {
      const name = `${type} ${JSON.stringify(source)}`;
      const known = sizes.get(name);
      const now = performance.now();
      if (known !== undefined && known.until > now && (known.isWhole || known.atLeast >= cap)) {
        return Math.min(known.atLeast, cap);
      }
      const count = countSource(open(), source, type, cap);
      if (count >= REMEMBERED_MIN && isList(source)) {
        if (sizes.size >= REMEMBERED_MAX) sizes.clear();
        sizes.set(name, { atLeast: count, isWhole: count < cap, until: now + REMEMBERED_MS });
      }
      return count;
    },
    few: (plan, options) => fewMatches(open(), plan, options),
  };
}

/** A range of time names other bounds each time; it would only push out what is asked again. */
function isList(source: Source): boolean {
  return source.kind === 'keys' || source.kind === 'type';
}
