// What must become of a rehearsed write, by what the principal may see and write. Each function takes the answer to
// anybody on the store of what the principal sees: whether something is there to be changed is read off it.
import type { Caller } from '../../src/fhir/caller.ts';
import type { Reply } from './engine.ts';
import { matchIds } from './engine.ts';
import type { Ask } from './random-asks.ts';
import { attachedTo, isSensitive, type SlowAccess } from './slow-access.ts';
import type { StoredResource } from './slow-criteria.ts';

export interface WriteContext {
  access: SlowAccess;
  caller: Caller;
  /** Live resources of the full store, by "Type/id". */
  live: ReadonlyMap<string, StoredResource>;
  /** Whether anything was ever stored under a name. */
  isKnown(name: string): boolean;
  /** A search of the store of what is seen. */
  search(url: string): Promise<Reply>;
}

type Write = NonNullable<Ask['write']>;

/** What is wrong, in words. */
export async function writeDifference(
  ask: Ask,
  own: Reply,
  expected: Reply,
  context: WriteContext,
): Promise<string | undefined> {
  const { write } = ask;
  if (write === undefined) return undefined;
  const wanted = await wantedStatus(ask, write, expected, context);
  const isSame = wanted === own.status && (wanted !== expected.status || sameTag(own, expected, write, context));
  if (isSame) return undefined;
  return `is answered ${own.status} ${JSON.stringify(own.headers)} ${own.text.slice(0, 600)}\ninstead of ${wanted} (anybody: ${expected.status} ${JSON.stringify(expected.headers)} ${expected.text.slice(0, 600)})`;
}

/** Where nothing is left of the row that the full store may have, versions are counted anew. */
function sameTag(own: Reply, expected: Reply, { type, id }: Write, context: WriteContext): boolean {
  if (expected.status === 201 && id !== undefined && context.isKnown(`${type}/${id}`)) return true;
  return own.headers.ETag === expected.headers.ETag;
}

async function wantedStatus(ask: Ask, write: Write, expected: Reply, context: WriteContext): Promise<number> {
  const { status } = expected;
  if (write.permission === 'd') return wantedOfDelete(ask, write, expected, context);
  if (status === 201) return wantedOfCreate(write, context);
  if (status === 412 && ask.headers?.['If-None-Match'] !== undefined) {
    const changed = wantedOfUpdate(write, context);
    return changed === 200 ? 412 : changed;
  }
  if (status !== 200 || write.permission === 'c') return status;
  const id = write.id ?? (expected.json.id as string);
  return wantedOfUpdate({ ...write, id }, context);
}

function wantedOfCreate(write: Write, context: WriteContext): number {
  const { access, caller, live } = context;
  const { type, id } = write;
  if (id !== undefined && caller.isBound('c', type)) return 404;
  // Under a label that hides it: that the id is taken cannot be hidden from who may choose ids.
  if (id !== undefined && live.has(`${type}/${id}`)) return 404;
  return access.may('c', contentOf(write)) && attachesShown(contentOf(write), undefined, context) ? 201 : 403;
}

/** Whether all that is attached anew is shown; who sees all Binaries may attach one that is not there. */
function attachesShown(
  content: StoredResource,
  before: StoredResource | undefined,
  { access, caller, live }: WriteContext,
): boolean {
  const kept = before === undefined ? [] : attachedTo(before);
  return attachedTo(content)
    .filter((id) => !kept.includes(id))
    .every((id) => {
      const binary = live.get(`Binary/${id}`);
      return binary === undefined ? !caller.isBound('r', 'Binary') : access.may('r', binary);
    });
}

function wantedOfUpdate(write: Write, context: WriteContext): number {
  const current = context.live.get(`${write.type}/${write.id}`);
  if (current === undefined) return 404;
  const content = contentOf(write);
  const isAllowed =
    context.access.may('u', current) && context.access.may('u', content) && attachesShown(content, current, context);
  return isAllowed && (context.caller.mayRelabel || keepsLabels(current as Labelled, content as Labelled)) ? 200 : 403;
}

async function wantedOfDelete(
  ask: Ask,
  { type, id, isConditional }: Write,
  { status }: Reply,
  context: WriteContext,
): Promise<number> {
  if (status >= 300) return status;
  const ids = isConditional ? await matchesOf(ask, context) : [id ?? ''];
  const seen = ids
    .flatMap((one) => context.live.get(`${type}/${one}`) ?? [])
    .filter((one) => context.access.may('r', one));
  return seen.every((one) => context.access.may('d', one)) ? status : 403;
}

async function matchesOf(ask: Ask, { search }: WriteContext): Promise<string[]> {
  return matchIds(await search(ask.url));
}

const contentOf = ({ type, id, content }: Write): StoredResource =>
  ({ meta: {}, ...content, resourceType: type, id: id ?? 'new' }) as unknown as StoredResource;

interface Labelled {
  meta?: { security?: { system?: string; code?: string }[] };
}

function keepsLabels(before: Labelled, after: Labelled): boolean {
  const kept = (after.meta?.security ?? []).map(({ system, code }) => `${system}|${code}`);
  return (before.meta?.security ?? []).every(
    (label) => !isSensitive(label) || kept.includes(`${label.system}|${label.code}`),
  );
}
