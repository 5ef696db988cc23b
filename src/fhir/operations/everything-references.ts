// What the resources of a record refer to and is not part of it: "linked practitioners, medications, locations,
// organizations etc.", "including binaries and attachments". One step out, by the references in their text.
// https://hl7.org/fhir/R4/operation-patient-everything.html
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { parseReference } from '../../model/references.ts';
import { and } from '../../store/conditions.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import type { EverythingRequest } from './everything-request.ts';
import type { Scope } from './everything-scope.ts';
import type { LiveRow } from './everything-walk.ts';

/** What pages remember for those that follow. */
export interface Sent {
  /** Marks of the resources sent along so far, newest last. */
  marks: readonly string[];
  /** "Type/id" of those that did not fit. */
  pending: readonly string[];
}

/** Resources fetched at once. */
const STEP = 200;

/** The resources that a page brings along, none of which a page before did. */
export async function broughtAlong(
  rows: readonly LiveRow[],
  before: Sent,
  { scope, asked }: { scope: Scope; asked: EverythingRequest },
  caller: Caller,
  context: EngineContext,
): Promise<{ rows: LiveRow[]; sent: Sent }> {
  const marks = new Set(before.marks);
  const wanted = [...referredTo(rows, before.pending, { scope, asked }, context)].filter(
    (ref) => !marks.has(mark(ref)),
  );
  const found: LiveRow[] = [];
  let at = 0;
  for (let bytes = 0; at < wanted.length; at += STEP) {
    if (found.length >= limits.includesMax || bytes >= limits.everythingPageBytesMax) break;
    for (const row of await fetched(wanted.slice(at, at + STEP), scope, caller, context)) {
      found.push(row);
      bytes += row.body.length;
      marks.add(mark(`${row.type}/${row.id}`));
    }
  }
  const kept = [...marks].slice(-limits.everythingMarksMax);
  return { rows: found, sent: { marks: kept, pending: wanted.slice(at) } };
}

/** Eleven characters that stand for a reference: a link that held hundreds of them in full would be long. */
const mark = (ref: string): string => createHash('sha256').update(ref).digest('base64url').slice(0, 11);

/** "Type/id" of what is pending and of what the rows refer to, each once, without the rows themselves. */
function referredTo(
  rows: readonly LiveRow[],
  pending: readonly string[],
  { scope, asked }: { scope: Scope; asked: EverythingRequest },
  context: EngineContext,
): Set<string> {
  const wanted = new Set(pending);
  for (const row of rows) {
    const isAsked = asked.types?.has(row.type) !== false;
    for (const { type, id } of referencesIn(row.body, context)) {
      if (asked.types?.has(type) === false) continue;
      // A resource that is not asked for is looked at for the sake of types that are never members.
      if (isAsked || !scope.types.has(type)) wanted.add(`${type}/${id}`);
    }
    if (wanted.size > limits.everythingReferencesMax) throw tooMany();
  }
  for (const { type, id } of rows) wanted.delete(`${type}/${id}`);
  return wanted;
}

function tooMany(): FhirError {
  return new FhirError(
    'too-costly',
    `The resources of one page refer to more than ${limits.everythingReferencesMax} others; ask for fewer with _count, or for some types with _type.`,
  );
}

/** Those that exist, may be seen, and are no members: members come in their own place, or were left out by their date. */
async function fetched(
  refs: readonly string[],
  scope: Scope,
  caller: Caller,
  context: EngineContext,
): Promise<LiveRow[]> {
  const idsByType = Map.groupBy(refs, (ref) => ref.slice(0, ref.indexOf('/')));
  const rows: LiveRow[] = [];
  for (const [type, some] of idsByType) {
    const ids = some.map((ref) => ref.slice(type.length + 1));
    const page = await context.store.search(
      {
        type,
        where: and([{ kind: 'ids', ids }, scope.outside(type)]),
        order: [],
        limit: ids.length,
        keysOf: scope.keysOf,
        budgetMs: limits.queryBudgetMs,
      },
      caller.filters.s,
    );
    for (const row of page.rows) if (row.body !== null && !scope.isMember(row)) rows.push(row as LiveRow);
  }
  return rows;
}

// ---- references in a stored body ----

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * The local resources that a body refers to, as often as it does: by each Reference, and by attachments whose url is that
 * of a Binary. The text is compact JSON, in which `"reference":"` stands nowhere but before the value of such a member,
 * since a quote within a string is escaped.
 */
function* referencesIn(body: Uint8Array, context: EngineContext): Generator<{ type: string; id: string }> {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const isType = (name: string): boolean => context.definitions.isResourceType(name);
  for (const [member, only] of [
    ['"reference":"', undefined],
    ['"url":"', 'Binary'],
  ] as const) {
    for (const value of stringsAfter(member, text)) {
      const { kind, type, id } = parseReference(value, context.baseUrl, isType);
      if (kind !== 'relative' || type === undefined || id === undefined) continue;
      if (only === undefined || type === only) yield { type, id };
    }
  }
}

function* stringsAfter(start: string, text: Buffer): Generator<string> {
  for (let found = text.indexOf(start); found >= 0; ) {
    const from = found + start.length;
    let end = from;
    while (end < text.length && text[end] !== QUOTE) end += text[end] === BACKSLASH ? 2 : 1;
    const value = text.toString('utf8', from, end);
    yield value.includes('\\') ? (JSON.parse(`"${value}"`) as string) : value;
    found = text.indexOf(start, end);
  }
}
