// A seeded source of choices for the sample practice: integer arithmetic only, so that every machine gives the same
// sequence (mulberry32, a public-domain 32-bit generator; it is not for secrets).

export interface Random {
  /** An integer from `from` to `to`, both included. */
  between(from: number, to: number): number;
  /** True with probability `probability`. */
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  shuffled<T>(list: readonly T[]): T[];
  /** A value around `mean`, never further than three times `spread` from it, nearer ones more often. */
  around(mean: number, spread: number): number;
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return {
    between,
    chance: (probability) => next() < probability,
    pick: (list) => at(list, between(0, list.length - 1)),
    shuffled: (list) => {
      const result = [...list];
      for (let last = result.length - 1; last > 0; last--) {
        const other = between(0, last);
        const moved = at(result, last);
        result[last] = at(result, other);
        result[other] = moved;
      }
      return result;
    },
    // The sum of three uniform numbers is close to a normal distribution and has no tail that would be implausible.
    around: (mean, spread) => mean + (next() + next() + next() - 1.5) * 2 * spread,
  };
}

/** The member of a list that the caller knows to be there. */
export function at<T>(list: readonly T[], index: number): T {
  if (index < 0 || index >= list.length) throw new RangeError(`no member ${index} in a list of ${list.length}`);
  return list[index] as T;
}
