// Every write of a caller passes here: what is there must be its to change, and so must what it makes of it. The one place
// that decides on writes, so that no interaction, operation or header can go around it.
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { type Commit, type Row, type Store, StoreError, type Write } from '../../store/store.ts';
import type { Caller, Permission } from '../caller.ts';
import type { EngineContext } from '../context.ts';
import { attachedBinaries, attachmentsPrefix } from '../search/attachments.ts';
import { BINARY } from './binaries.ts';
import { everything } from './callers.ts';
import { holds } from './holds.ts';
import { labelPrefix, restrictedKeys } from './labels.ts';
import { requireAny } from './require.ts';

/**
 * A commit that decides on the caller's rights first, on the versions that it then expects, so that nobody can slip in
 * between; and the clock to go with it, which tells it the ids of the server's making from those that the client chose.
 * FhirError('not-found') for what the caller cannot see, FhirError('forbidden') for what it sees but may not change, or
 * would move out of its reach. A deletion of what it cannot see deletes nothing, as if it were not there.
 */
export function authorizedWrites(caller: Caller, context: EngineContext): Pick<EngineContext, 'clock' | 'commit'> {
  const made = new Set<string>();
  const clock: Clock = {
    now: () => context.clock.now(),
    newId() {
      const id = context.clock.newId();
      made.add(id);
      return id;
    },
  };
  return {
    clock,
    async commit(commit) {
      for (let tries = 0; ; tries++) {
        const writes = await decide(commit.writes, made, caller, context);
        try {
          return await context.commit({ ...commit, writes });
        } catch (error) {
          if (!isOvertaken(error, commit) || tries >= limits.writeAttemptsMax) throw error;
        }
      }
    },
  };
}

/** Another was faster, and the client itself did not ask for a version. */
const isOvertaken = (error: unknown, { writes }: Commit): boolean =>
  error instanceof StoreError && error.kind === 'version' && writes[error.at]?.expect === undefined;

async function decide(
  writes: readonly Write[],
  made: ReadonlySet<string>,
  caller: Caller,
  context: EngineContext,
): Promise<Write[]> {
  const { store } = context;
  // What a Binary belongs to from now on is to be looked at for it.
  context.ties.note(writes);
  const named = writes.filter(({ id }) => !made.has(id));
  const current = await liveRows(named, store);
  const allowed = await changeable([...current.values()], named, caller, store);
  const decided: Write[] = [];
  for (const write of writes) {
    const name = `${write.type}/${write.id}`;
    const row = current.get(name);
    await requireVisible(write, row, allowed.has(name), caller, store);
    if (write.body === null) decided.push(deletion(write, row, allowed.get(name), caller, context));
    else if (row === undefined) decided.push(await creation(write, made.has(write.id), writes, caller, store));
    else decided.push(await change(write, allowed.get(name) ?? row, writes, caller, context));
  }
  await requireShownAttachments(writes, current, caller, store);
  return decided;
}

/** Live rows by "Type/id". */
async function liveRows(writes: readonly Write[], store: Store): Promise<Map<string, Row>> {
  const rows = await store.readMany(writes, everything);
  return new Map(rows.flatMap((row) => (row === undefined ? [] : [[`${row.type}/${row.id}`, row] as const])));
}

/** The rows that the caller may change as its writes ask for, with the keys of their labels. */
async function changeable(
  rows: readonly Row[],
  writes: readonly Write[],
  caller: Caller,
  store: Store,
): Promise<Map<string, Row>> {
  const deleted = new Set(writes.filter(({ body }) => body === null).map(({ type, id }) => `${type}/${id}`));
  const found = new Map<string, Row>();
  for (const permission of ['u', 'd'] as const) {
    const wanted = rows.filter(({ type, id }) => deleted.has(`${type}/${id}`) === (permission === 'd'));
    for (const [type, ofType] of Map.groupBy(wanted, (row) => row.type)) {
      for (let at = 0; at < ofType.length; at += limits.pageSizeMax) {
        const ids = ofType.slice(at, at + limits.pageSizeMax).map(({ id }) => id);
        const page = await store.search(
          {
            type,
            where: { kind: 'ids', ids },
            order: [],
            limit: ids.length,
            bodyless: true,
            keysOf: [labelPrefix(type)],
            budgetMs: limits.queryBudgetMs,
          },
          caller.filters[permission],
        );
        for (const row of page.rows) found.set(`${type}/${row.id}`, row);
      }
    }
  }
  return found;
}

/** 403 for what the caller can see but not change, 404 for what it cannot see. */
async function requireVisible(
  { type, id, body }: Write,
  row: Row | undefined,
  isAllowed: boolean,
  caller: Caller,
  store: Store,
): Promise<void> {
  if (row === undefined || isAllowed) return;
  if ((await store.read(type, id, caller.filter)) !== undefined) {
    throw new FhirError('forbidden', `You may read ${type}/${id}, but not ${body === null ? 'delete' : 'change'} it.`);
  }
  if (body !== null) throw unknownId(type, id);
}

const unknownId = (type: string, id: string): FhirError => new FhirError('not-found', `${type}/${id} does not exist.`);

function deletion(
  write: Write,
  row: Row | undefined,
  allowed: Row | undefined,
  caller: Caller,
  { clock }: EngineContext,
): Write {
  requireAny(caller, ['d'], write.type);
  if (row === undefined) return write;
  // Nothing has this id: the store answers as it does for what is not there.
  if (allowed === undefined) return { ...write, id: clock.newId() };
  return expecting(write, allowed);
}

/** What is created under an id of the server's making was never there. */
async function creation(
  write: Write,
  isMade: boolean,
  writes: readonly Write[],
  caller: Caller,
  store: Store,
): Promise<Write> {
  // Who sees a part of a type only would learn from the answer which of the other ids are taken.
  if (!isMade && caller.isBound('c', write.type)) throw unknownId(write.type, write.id);
  requireAny(caller, ['c'], write.type);
  await requireWithin(write, 'c', writes, caller, store);
  return write.expect === undefined ? { ...write, expect: 'absent' } : write;
}

async function change(
  write: Write,
  allowed: Row,
  writes: readonly Write[],
  caller: Caller,
  { store }: EngineContext,
): Promise<Write> {
  if (caller.hidden(write.type).length > 0) {
    throw new FhirError(
      'forbidden',
      `You see a part of ${write.type} resources only; what you sent would erase the rest.`,
    );
  }
  await requireWithin(write, 'u', writes, caller, store);
  requireLabels(write, allowed, caller);
  return expecting(write, allowed);
}

/** What is decided on is what is written over. */
const expecting = (write: Write, { version }: Row): Write =>
  write.expect === undefined ? { ...write, expect: version } : write;

async function requireWithin(
  write: Write,
  permission: Permission,
  writes: readonly Write[],
  caller: Caller,
  store: Store,
): Promise<void> {
  if (await holds(write, caller.filters[permission].of(write.type), writes, store)) return;
  if (write.type === BINARY) {
    throw new FhirError(
      'forbidden',
      'A Binary belongs to what its securityContext names, as the header X-Security-Context does for plain content; name a resource that is there and that you may write.',
      { expression: 'Binary.securityContext' },
    );
  }
  throw new FhirError(
    'forbidden',
    `This ${write.type} would lie outside of what you may write: check whom it is about and how it is labelled.`,
  );
}

/** Restricted labels stay, unless the caller may take them away. */
function requireLabels(write: Write, { type, keys = [] }: Row, caller: Caller): void {
  if (caller.mayRelabel) return;
  const restricted = new Set(restrictedKeys(type));
  const isLost = keys.some((key) => restricted.has(key) && !write.keys.includes(key));
  if (!isLost) return;
  throw new FhirError('forbidden', `You may not take restricted labels away; keep ${type}.meta.security as it is.`, {
    expression: `${type}.meta.security`,
  });
}

/**
 * Who sees a resource sees the Binaries that are attached to it, so nobody attaches what is not shown to them. For who
 * reaches some Binaries only, one that is not there is as one that is not shown.
 */
async function requireShownAttachments(
  writes: readonly Write[],
  current: ReadonlyMap<string, Row>,
  caller: Caller,
  store: Store,
): Promise<void> {
  const written = new Set(writes.flatMap(({ type, id, body }) => (type === BINARY && body !== null ? [id] : [])));
  for (const { type, id, keys } of writes) {
    const named = attachedBinaries(type, keys).filter((one) => !written.has(one));
    if (named.length === 0) continue;
    const before = current.has(`${type}/${id}`) ? await attachedBefore(type, id, store) : [];
    const added = named.filter((one) => !before.includes(one));
    if (added.length === 0) continue;
    const refs = added.map((one) => ({ type: BINARY, id: one }));
    const shown = await store.readMany(refs, caller.filter);
    const hidden = refs.filter((_, at) => shown[at] === undefined);
    const isHere = caller.isBound('r', BINARY) ? hidden : await store.readMany(hidden, everything);
    const at = isHere.findIndex((one) => one !== undefined);
    if (at < 0) continue;
    throw new FhirError(
      'forbidden',
      `${type} has Binary/${hidden[at]?.id} attached, which does not exist; send it before, or in the same transaction.`,
    );
  }
}

async function attachedBefore(type: string, id: string, store: Store): Promise<string[]> {
  const [row] = await store.readMany([{ type, id }], everything, [attachmentsPrefix(type)]);
  return attachedBinaries(type, row?.keys ?? []);
}
