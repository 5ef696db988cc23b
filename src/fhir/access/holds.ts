// Whether a condition holds for what is about to be written: decided on its keys, and where the condition looks at other
// resources, on those that are there and on those of the same commit.
import { limits } from '../../base/limits.ts';
import { matchesKeys } from '../../store/match.ts';
import type { Condition, Store, Write } from '../../store/store.ts';
import { everything } from './callers.ts';

type Join = Extract<Condition, { kind: 'refers' | 'referred' }>;

/** `writes`: all of the commit. */
export async function holds(
  write: Write,
  condition: Condition,
  writes: readonly Write[],
  store: Store,
): Promise<boolean> {
  const { type, id, keys, terms } = write;
  const decided = new Map<Join, boolean>();
  for (const join of joinsIn(condition)) decided.set(join, await joined(write, join, writes, store));
  return matchesKeys({ type, id, lastUpdated: 0, keys, terms }, condition, (join) => decided.get(join) === true);
}

function joinsIn(condition: Condition): Join[] {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.of.flatMap(joinsIn);
    case 'not':
      return joinsIn(condition.of);
    case 'refers':
    case 'referred':
      return [condition];
    default:
      return [];
  }
}

async function joined(write: Write, join: Join, writes: readonly Write[], store: Store): Promise<boolean> {
  const alias = join.kind === 'refers' ? join.to : join.by;
  const ids =
    join.kind === 'refers'
      ? targets(write, join.prefix, alias.type)
      : writes.filter((other) => other.keys.includes(`${join.prefix}${write.type}/${write.id}`)).map(({ id }) => id);
  const others = writes.filter(({ type, id, body }) => type === alias.type && body !== null && ids.includes(id));
  for (const other of others) if (await holds(other, alias.where, writes, store)) return true;
  const candidates: Condition =
    join.kind === 'refers' ? { kind: 'ids', ids } : { kind: 'key', key: `${join.prefix}${write.type}/${write.id}` };
  if (candidates.kind === 'ids' && ids.length === 0) return false;
  const where: Condition = { kind: 'and', of: [candidates, alias.where] };
  const search = { type: alias.type, where, order: [], limit: 1, bodyless: true, budgetMs: limits.queryBudgetMs };
  const { rows } = await store.search(search, everything);
  return rows.length > 0;
}

/** Ids of a type that a write refers to by a list of references. */
function targets({ keys }: Write, prefix: string, type: string): string[] {
  const start = `${prefix}${type}/`;
  return keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
}
