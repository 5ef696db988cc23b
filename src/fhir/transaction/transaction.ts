// A transaction: all entries or none, in one commit. https://hl7.org/fhir/R4/http.html#trules
import { STATUS_CODES } from 'node:http';
import { FhirError, operationOutcome } from '../../base/outcome.ts';
import { matchesKeys } from '../../store/match.ts';
import type { Check, Condition, Row, Write, Written } from '../../store/store.ts';
import { StoreError } from '../../store/store.ts';
import { etag, preferences, versionInHeader, writtenBody } from '../answer.ts';
import { bundlePieces, entryWith } from '../bundle.ts';
import { conditionOf, matches, matchOne, severalMatch, untilSettled } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { checkedResource, deletionOf, type Resource, requireTargets, withoutStamp, writeOf } from '../prepare.ts';
import { type Interaction, routeRequest } from '../route.ts';
import { queryPairs, queryString } from '../search/query.ts';
import { storeFailure } from '../store-failure.ts';
import { conditionalTarget, criteriaIn, versionMismatch, versionUrl } from '../write.ts';
import { type BundleEntry, bundleEntries, requestOfEntry } from './entries.ts';
import {
  conditionalParts,
  conditionalReferences,
  entryIdentities,
  type FinalIdentities,
  type Identities,
  withFinalIdentities,
} from './identities.ts';
import { inTurn } from './in-turn.ts';

export type Perform = (request: FhirRequest, caller: Caller) => Promise<Answer>;

/** What an entry comes to. */
interface Planned {
  entry: BundleEntry;
  interaction: Interaction;
  /** "Type/id" that the entry is about, for those that write. */
  target?: { type: string; id: string };
  expect?: Write['expect'];
  /** The condition found this; nothing is written. */
  found?: boolean;
  /** The condition that found nothing. */
  unmet?: string;
}

/** Answers with a transaction-response Bundle that mirrors the entries; throws the error of the first that fails. */
export async function transaction(
  bundle: Resource,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  checkedResource(withoutStamps(bundle), 'Bundle', context);
  const entries = bundleEntries(request.body, bundle, context.baseUrl);
  const routed = entries.map((entry) => ({ entry, interaction: routeEntry(entry, context) }));
  const { planned, writes, written } = await untilSettled(() =>
    commitEntries(routed, request, caller, context, perform),
  );
  const responses = await inTurn(planned, (one) =>
    entryResponse(one, writes.get(one.entry.at), written.get(one.entry.at), request, caller, context, perform),
  );
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'transaction-response' }, responses),
    interaction: 'transaction',
  };
}

/** The stamps of the resources that are to be written are the server's as well. */
function withoutStamps(bundle: Resource): Resource {
  if (!Array.isArray(bundle.entry)) return bundle;
  const entry = bundle.entry.map((one: unknown) => {
    const resource = (one as { resource?: unknown } | null)?.resource;
    const unstamped = withoutStamp(resource);
    return unstamped === resource ? one : { ...(one as object), resource: unstamped };
  });
  return { ...bundle, entry };
}

function routeEntry(entry: BundleEntry, context: EngineContext): Interaction {
  return atEntry(entry, () => {
    const interaction = routeRequest(entry, context.definitions);
    if (interaction.kind === 'bundle')
      throw new FhirError('invalid', 'A Bundle cannot be an entry of a transaction that is to be processed.');
    const needsBody = ['create', 'update', 'conditional-update'].includes(interaction.kind);
    if (needsBody && entry.resource === undefined) throw new FhirError('invalid', `${entry.method} needs a resource.`);
    return interaction;
  });
}

/** Errors of one entry say which. */
function atEntry<T>({ at }: BundleEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw entryError(at, error);
  }
}

function entryError(at: number, error: unknown): unknown {
  if (!(error instanceof FhirError)) return error;
  const issues = error.issues.map((issue) => ({
    ...issue,
    expression: issue.expression?.startsWith('Bundle.') ? issue.expression : `Bundle.entry[${at}]`,
  }));
  return new FhirError(error.kind, issues, { cause: error });
}

async function commitEntries(
  routed: readonly { entry: BundleEntry; interaction: Interaction }[],
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<{ planned: Planned[]; writes: Map<number, Write>; written: Map<number, Written> }> {
  const checks: Check[] = [];
  const planned: Planned[] = [];
  for (const { entry, interaction } of routed)
    planned.push(await planEntry(entry, interaction, request, checks, caller, context));
  joinSameConditions(planned);
  refuseOverlap(planned);
  await requireReads(planned, request, caller, perform);
  const identities = { ...entryIdentities(planned), conditional: NO_IDENTITIES };
  const conditional = await resolveConditional(planned, identities, checks, caller, context);
  const writes = new Map<number, Write>();
  for (const one of planned) {
    const write = entryWrite(one, { ...identities, conditional }, context);
    if (write !== undefined) writes.set(one.entry.at, write);
  }
  const list = [...writes.values()];
  await requireTargets(list, caller, context);
  const results = await commit(writes, checks, context);
  const written = new Map([...writes.keys()].map((at, index) => [at, results[index] as Written] as const));
  return { planned, writes, written };
}

const NO_IDENTITIES: Identities = new Map();

/** Decides which resource an entry is about, before anything is written. */
async function planEntry(
  entry: BundleEntry,
  interaction: Interaction,
  request: FhirRequest,
  checks: Check[],
  caller: Caller,
  context: EngineContext,
): Promise<Planned> {
  const own = requestOfEntry(entry, request);
  try {
    switch (interaction.kind) {
      case 'create': {
        const { type } = interaction;
        const condition = own.header('if-none-exist');
        if (condition === undefined)
          return { entry, interaction, target: { type, id: context.clock.newId() }, expect: 'absent' };
        const match = await matchOne(type, criteriaIn(condition), caller, context);
        checks.push(match.check);
        if (match.id !== undefined) return { entry, interaction, target: { type, id: match.id }, found: true };
        const unmet = conditionText(type, criteriaIn(condition));
        return { entry, interaction, target: { type, id: context.clock.newId() }, expect: 'absent', unmet };
      }
      case 'update': {
        const { type, id } = interaction;
        requireSameId(entry, id);
        return { entry, interaction, target: { type, id }, ...expectation(own) };
      }
      case 'conditional-update': {
        const { type } = interaction;
        const match = await matchOne(type, entry.query, caller, context);
        checks.push(match.check);
        const { id, expect } = conditionalTarget(match.id, entry.resource as Resource, context, own);
        const unmet = match.id === undefined ? { unmet: conditionText(type, entry.query) } : {};
        return { entry, interaction, target: { type, id }, ...(expect === undefined ? {} : { expect }), ...unmet };
      }
      case 'delete': {
        const { type, id } = interaction;
        return { entry, interaction, target: { type, id }, ...expectation(own) };
      }
      case 'conditional-delete': {
        const { type } = interaction;
        const match = await matchOne(type, entry.query, caller, context);
        checks.push(match.check);
        if (match.id === undefined) return { entry, interaction };
        return { entry, interaction, target: { type, id: match.id }, ...expectation(own) };
      }
      default:
        return { entry, interaction };
    }
  } catch (error) {
    throw entryError(entry.at, error);
  }
}

function expectation(own: FhirRequest): { expect?: Write['expect'] } {
  if (own.header('if-none-match')?.trim() === '*') return { expect: 'absent' };
  const expect = versionInHeader('If-Match', own.header('if-match'));
  return expect === undefined ? {} : { expect };
}

function requireSameId(entry: BundleEntry, id: string): void {
  if ((entry.resource as Resource).id !== id) {
    throw new FhirError('invalid', 'The resource of an update needs the id of its request.url.', {
      expression: `Bundle.entry[${entry.at}].resource.id`,
    });
  }
}

const conditionText = (type: string, query: string): string => `${type}?${queryString(queryPairs(query))}`;

/**
 * Entries whose conditions say the same and found nothing: what the first creates, the others would find. So a create
 * that comes later finds it, as it would in the next transaction; an update would change it and is refused.
 */
function joinSameConditions(planned: Planned[]): void {
  const firsts = new Map<string, Planned>();
  for (const [at, one] of planned.entries()) {
    if (one.unmet === undefined) continue;
    const first = firsts.get(one.unmet);
    if (first?.target === undefined) firsts.set(one.unmet, one);
    else if (first.interaction.kind === 'create' && one.interaction.kind === 'create') {
      const { entry, interaction, unmet } = one;
      planned[at] = { entry, interaction, unmet, target: first.target, found: true };
    } else throw overlap(first.entry, one.entry);
  }
}

function overlap(one: BundleEntry, other: BundleEntry): FhirError {
  return new FhirError(
    'invalid',
    `Entries ${one.at} and ${other.at} are about the same resource; a transaction changes each only once.`,
    { expression: `Bundle.entry[${other.at}]` },
  );
}

/** "If any resource identities overlap in steps 1-3, then the transaction SHALL fail." */
function refuseOverlap(planned: readonly Planned[]): void {
  const known = new Map<string, Planned>();
  for (const one of planned) {
    const { target, found, unmet } = one;
    if (target === undefined) continue;
    const identity = `${target.type}/${target.id}`;
    const other = known.get(identity);
    if (other === undefined) known.set(identity, one);
    // Entries that found the same resource and leave it alone do not contradict each other.
    else if (!found || !(other.found || (unmet !== undefined && unmet === other.unmet)))
      throw overlap(other.entry, one.entry);
  }
}

/**
 * Reads are answered after the commit, where nothing can be undone; so what would fail is tried before it, with the
 * deletions of the transaction in mind. What it writes itself can be read.
 */
async function requireReads(
  planned: readonly Planned[],
  request: FhirRequest,
  caller: Caller,
  perform: Perform,
): Promise<void> {
  const changes = new Map<string, 'written' | 'deleted'>();
  for (const { entry, target, found } of planned) {
    if (target !== undefined && !found)
      changes.set(`${target.type}/${target.id}`, entry.method === 'DELETE' ? 'deleted' : 'written');
  }
  const reads = planned.filter(({ entry, target }) => target === undefined && entry.method !== 'DELETE');
  await inTurn(reads, async ({ entry, interaction }) => {
    const read = 'id' in interaction && !('compartment' in interaction) ? `${interaction.type}/${interaction.id}` : '';
    const change = changes.get(read);
    try {
      if (change === 'deleted' && interaction.kind === 'read')
        throw new FhirError('deleted', `${read} is deleted by this transaction and cannot be read in it.`);
      if (change !== 'written') await perform(requestOfEntry(entry, request), caller);
    } catch (error) {
      throw entryError(entry.at, error);
    }
  });
}

/** "5. Resolve any conditional references": against what is there after the writes of the transaction. */
async function resolveConditional(
  planned: readonly Planned[],
  identities: FinalIdentities,
  checks: Check[],
  caller: Caller,
  context: EngineContext,
): Promise<Identities> {
  const conditional = new Map<string, string>();
  const pendingWrites = pendingByType(planned, identities, context);
  for (const { entry, target, found } of planned) {
    if (target === undefined || found || entry.bytes.length === 0) continue;
    for (const reference of conditionalReferences(entry.bytes)) {
      if (conditional.has(reference)) continue;
      try {
        conditional.set(reference, await resolveReference(reference, pendingWrites, checks, caller, context));
      } catch (error) {
        throw entryError(entry.at, error);
      }
    }
  }
  return conditional;
}

/** What the transaction itself writes of a type, made when first asked for: few references are conditional. */
function pendingByType(
  planned: readonly Planned[],
  identities: FinalIdentities,
  context: EngineContext,
): (type: string) => readonly Write[] {
  const known = new Map<string, readonly Write[]>();
  return (type) => {
    let writes = known.get(type);
    if (writes === undefined) {
      const touched = planned.filter(({ target }) => target?.type === type);
      writes = touched.map((one) => entryWrite(one, identities, context)).filter((write) => write !== undefined);
      known.set(type, writes);
    }
    return writes;
  };
}

async function resolveReference(
  reference: string,
  pendingWrites: (type: string) => readonly Write[],
  checks: Check[],
  caller: Caller,
  context: EngineContext,
): Promise<string> {
  const { type, query } = conditionalParts(reference);
  if (!context.definitions.isResourceType(type))
    throw new FhirError(
      'invalid',
      `A conditional reference begins with a resource type, and "${type.slice(0, 40)}" is none.`,
    );
  const where = conditionOf(type, query, context);
  const pending = pendingWrites(type);
  const untouched: Condition = { kind: 'not', of: { kind: 'ids', ids: pending.map(({ id }) => id) } };
  const stored = await matches(
    type,
    pending.length === 0 ? where : { kind: 'and', of: [where, untouched] },
    caller,
    context,
  );
  checks.push(stored.check);
  const now = context.clock.now();
  // A chain leads out of the resource; through what is not stored yet it leads nowhere.
  const own = pending
    .filter((write) => write.body !== null && matchesKeys({ ...write, lastUpdated: now }, where, () => false))
    .map((write) => write.id);
  const [id, ...more] = [...stored.ids, ...own];
  if (more.length > 0) throw severalMatch(type);
  if (id === undefined)
    throw new FhirError(
      'precondition',
      `A conditional reference to ${type} matches nothing; load what it refers to first.`,
    );
  return `${type}/${id}`;
}

function entryWrite(
  { entry, interaction, target, expect, found }: Planned,
  identities: FinalIdentities,
  context: EngineContext,
): Write | undefined {
  if (target === undefined || found) return undefined;
  if (interaction.kind === 'delete' || interaction.kind === 'conditional-delete') {
    return deletionOf(target.type, target.id, typeof expect === 'number' ? expect : undefined);
  }
  return atEntry(entry, () => {
    const resource = entry.resource as Resource;
    if (resource.resourceType !== target.type) {
      throw new FhirError(
        'invalid',
        `request.url is for ${target.type}, but the resource is a ${resource.resourceType}.`,
      );
    }
    const bytes = withFinalIdentities(entry.bytes, entry.fullUrl, identities);
    const final = bytes === entry.bytes ? resource : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Resource);
    return writeOf(bytes, final, target.id, context, expect);
  });
}

/** `writes` by the place of their entry. */
async function commit(
  writes: ReadonlyMap<number, Write>,
  checks: readonly Check[],
  context: EngineContext,
): Promise<Written[]> {
  if (writes.size === 0) return [];
  try {
    return await context.store.commit({ writes: [...writes.values()], checks });
  } catch (error) {
    const failed = error instanceof StoreError && error.kind === 'version' ? [...writes][error.at] : undefined;
    if (failed !== undefined) throw entryError(failed[0], versionMismatch(failed[1], error as StoreError));
    throw error;
  }
}

// ---- the response ----

const statusLine = (status: number): string => `${status} ${STATUS_CODES[status] ?? ''}`.trim();

async function entryResponse(
  { entry, target, found }: Planned,
  write: Write | undefined,
  written: Written | undefined,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Uint8Array[]> {
  if (write !== undefined && written !== undefined) {
    const { type, id } = write;
    const status = write.body === null ? 204 : written.created ? 201 : 200;
    return writtenResponse({ type, id, status, ...written }, () => writtenBody(write, written), request, context);
  }
  if (target === undefined || !found) {
    if (entry.method === 'DELETE') return entryWith(undefined, undefined, { response: { status: statusLine(204) } });
    // Reads come last and see what the transaction wrote.
    try {
      return answerResponse(await perform(requestOfEntry(entry, request), caller));
    } catch (error) {
      // The transaction is committed: whatever became of this read since it was tried is no failure of the whole.
      return failureResponse(storeFailure(error));
    }
  }
  const row = await context.store.read(target.type, target.id, caller.filter);
  // Deleted by another since it was found: it was there when the transaction was committed.
  if (row === undefined || row.body === null)
    return entryWith(`${context.baseUrl}/${target.type}/${target.id}`, undefined, {
      response: { status: statusLine(200) },
    });
  return writtenResponse({ ...row, status: 200 }, () => row.body ?? undefined, request, context);
}

function writtenResponse(
  { type, id, version, lastUpdated, status }: Pick<Row, 'type' | 'id' | 'version' | 'lastUpdated'> & { status: number },
  bodyNow: () => Uint8Array | undefined,
  request: FhirRequest,
  context: EngineContext,
): Uint8Array[] {
  const isDeleted = status === 204;
  const response = {
    status: statusLine(status),
    ...(isDeleted ? {} : { location: versionUrl({ type, id, version }, context) }),
    ...(version === 0 ? {} : { etag: etag(version), lastModified: new Date(lastUpdated).toISOString() }),
  };
  // A Bundle's response repeats the resources only where the client asks for them: it sent them a moment ago.
  const wanted = /\breturn=representation\b/.test(request.header('prefer') ?? '');
  const body = wanted ? bodyNow() : undefined;
  return entryWith(isDeleted ? undefined : `${context.baseUrl}/${type}/${id}`, body && [body], {
    response:
      preferences(request.header('prefer')).return === 'OperationOutcome'
        ? { ...response, outcome: operationOutcome([]) }
        : response,
  });
}

/** An answer as the response of an entry; used for reads here and for every entry of a batch. `show`: its body as what. */
export function answerResponse(answer: Answer, show: 'resource' | 'outcome' | 'nothing' = 'resource'): Uint8Array[] {
  const { status, headers, body } = answer;
  const lastModified = headers['Last-Modified'];
  const response = {
    status: statusLine(status),
    ...(headers.Location === undefined ? {} : { location: headers.Location }),
    ...(headers.ETag === undefined ? {} : { etag: headers.ETag }),
    ...(lastModified === undefined ? {} : { lastModified: new Date(lastModified).toISOString() }),
  };
  const pieces = body === undefined ? undefined : body instanceof Uint8Array ? [body] : [...body];
  if (show === 'outcome' && pieces !== undefined) {
    const outcome: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'));
    return entryWith(undefined, undefined, { response: { ...response, outcome } });
  }
  return entryWith(undefined, show === 'resource' ? pieces : undefined, { response });
}

/** A failure as the response of an entry of a batch. */
export function failureResponse(error: FhirError): Uint8Array[] {
  return entryWith(undefined, undefined, {
    response: { status: statusLine(error.status), outcome: operationOutcome(error.issues) },
  });
}
