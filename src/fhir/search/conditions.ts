// Short ways to write the store's conditions.
import type { Condition, Key, Within } from '../../store/store.ts';

export const or = (of: readonly Condition[]): Condition =>
  of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'or', of };

export const and = (of: readonly Condition[]): Condition =>
  of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'and', of };

export const not = (of: Condition): Condition => ({ kind: 'not', of });

export const key = (value: Key): Condition => ({ kind: 'key', key: value });

export const span = (range: { from: Key; to: Key }, within?: Within): Condition => ({
  kind: 'span',
  ...range,
  ...(within === undefined ? {} : { within }),
});
