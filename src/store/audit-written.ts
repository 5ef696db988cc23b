// What the body of an audit row says of the commit that it belongs to: the versions that arose, which only the store knows.
import type { AuditEntry, Write, Written } from './store.ts';

/**
 * The entries with the last member `"written":["Patient/1/_history/3",…]` in each body, in the order of the writes; a
 * deletion that changed nothing is not among them. No entries when nothing was written at all.
 */
export function withWritten(
  entries: readonly AuditEntry[],
  writes: readonly Pick<Write, 'type' | 'id'>[],
  written: readonly Written[],
): readonly AuditEntry[] {
  const versions = writes.flatMap(({ type, id }, at) => {
    const version = written[at]?.version ?? 0;
    return version > 0 ? [`${type}/${id}/_history/${version}`] : [];
  });
  if (versions.length === 0) return [];
  const member = `"written":${JSON.stringify(versions)}}`;
  return entries.map((entry) => ({ ...entry, body: withLast(entry.body, member) }));
}

function withLast(body: string, member: string): string {
  const before = body.slice(0, body.lastIndexOf('}')).trimEnd();
  return before.endsWith('{') ? before + member : `${before},${member}`;
}
