// One page of the resources in a scope: stretch by stretch, each in the order of its clinical date. A place is a keyset
// position, so that what others write meanwhile neither repeats nor leaves out a resource, unless its own date is changed.
import { setImmediate as pause } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { and } from '../../store/conditions.ts';
import type { Alias, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { type EverythingRequest, everythingFilter } from './everything-request.ts';
import type { Scope } from './everything-scope.ts';

export type LiveRow = Row & { body: Uint8Array };

/** A stretch of a part, and the store's cursor within it. */
export interface Place {
  part: number;
  at: number;
  cursor?: string;
}

/** Rows that one query reads: between two of them the page's bounds are looked at. */
const STEP = 100;
/** Stretches, most of them empty, that are looked at before others have their turn. */
const STRETCHES_AT_ONCE = 16;

/**
 * The rows from a place on, and the place of the next page when anything is left. With `_type`, rows of other types are
 * among them where what they refer to may be asked for.
 */
export async function walkPage(
  { scope, asked, from }: { scope: Scope; asked: EverythingRequest; from: Place },
  caller: Caller,
  context: EngineContext,
): Promise<{ rows: LiveRow[]; next?: Place }> {
  const page = new Page(asked, context.clock);
  for (let { part, at, cursor }: Place = from; part < scope.parts; part++, at = 0) {
    const stretches = await scope.stretches(part);
    for (; at < stretches.length; at++, cursor = undefined) {
      const stretch = stretches[at];
      if (stretch === undefined || stretch.where.kind === 'none' || !isWalked(stretch.type, scope, asked)) continue;
      const where = and([stretch.where, await everythingFilter(stretch.type, asked, caller, context)]);
      const walked = await walkStretch({ type: stretch.type, where }, { scope, part, cursor, page }, caller, context);
      if (walked !== undefined) return { rows: page.rows, next: { part, at, ...walked } };
      if (page.isOver) return { rows: page.rows, next: { part, at: at + 1 } };
      // A store on this thread would let nobody else in between.
      if (at % STRETCHES_AT_ONCE === 0) await pause();
    }
  }
  return { rows: page.rows };
}

/** Fills the page from a stretch; where to go on when the page is full before the stretch is at its end. */
async function walkStretch(
  stretch: Alias,
  { scope, part, cursor, page }: { scope: Scope; part: number; cursor: string | undefined; page: Page },
  caller: Caller,
  context: EngineContext,
): Promise<{ cursor?: string } | undefined> {
  const search = { ...stretch, order: [], keysOf: scope.keysOf, budgetMs: limits.queryBudgetMs };
  for (let after = cursor; ; ) {
    const place = after === undefined ? {} : { after };
    if (page.room === 0) {
      if (after !== undefined) return { cursor: after };
      // Only a page that something follows has a next link.
      const peek = await context.store.search({ ...search, limit: 1, bodyless: true }, caller.filters.s);
      return peek.rows.length > 0 ? {} : undefined;
    }
    const limit = page.isAskedFor(stretch.type) ? Math.min(page.room, STEP) : STEP;
    const found = await context.store.search({ ...search, ...place, limit }, caller.filters.s);
    for (const row of found.rows) if (row.body !== null && scope.isOf(row, part)) page.add(row as LiveRow);
    after = found.next;
    if (after === undefined) return undefined;
    if (page.isOver) return { cursor: after };
    await pause();
  }
}

/** A type is walked when it is asked for, or when what its resources refer to may be: types that are never members. */
function isWalked(type: string, scope: Scope, { types }: EverythingRequest): boolean {
  return types === undefined || types.has(type) || [...types].some((one) => !scope.types.has(one));
}

/** What a page holds, and whether it may take more. */
class Page {
  readonly rows: LiveRow[] = [];
  /** Resources asked for that still fit. */
  room: number;
  readonly #types: ReadonlySet<string> | undefined;
  readonly #clock: Clock;
  readonly #ends: number;
  #bytes = 0;

  constructor({ count, types }: EverythingRequest, clock: Clock) {
    this.room = count;
    this.#types = types;
    this.#clock = clock;
    this.#ends = clock.now() + limits.everythingPageMs;
  }

  /** True when the page ends wherever it is: it is large, or has taken long. */
  get isOver(): boolean {
    return this.#bytes >= limits.everythingPageBytesMax || this.#clock.now() >= this.#ends;
  }

  add(row: LiveRow): void {
    this.rows.push(row);
    this.#bytes += row.body.length;
    if (this.isAskedFor(row.type)) this.room--;
  }

  isAskedFor(type: string): boolean {
    return this.#types === undefined || this.#types.has(type);
  }
}
