// Short ways to write the store's conditions.
import type { Condition, Key, OrdRange, Within } from '../../store/store.ts';

/** At least one of them; of none, nothing is true. */
export function or(of: readonly Condition[]): Condition {
  const possible = of.filter(({ kind }) => kind !== 'none');
  const [only] = possible;
  if (only === undefined) return { kind: 'none' };
  return possible.length === 1 ? only : { kind: 'or', of: possible };
}

export const and = (of: readonly Condition[]): Condition =>
  of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'and', of };

export const not = (of: Condition): Condition => ({ kind: 'not', of });

export const key = (value: Key): Condition => ({ kind: 'key', key: value });

export const span = (range: { from: Key; to: Key; ord?: OrdRange }, within?: Within): Condition => ({
  kind: 'span',
  ...range,
  ...(within === undefined ? {} : { within }),
});
