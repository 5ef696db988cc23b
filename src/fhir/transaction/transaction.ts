// A transaction: all entries or none, in one commit. https://hl7.org/fhir/R4/http.html#trules
import { FhirError } from '../../base/outcome.ts';
import type { Turn } from '../../base/slices.ts';
import { type Check, StoreError, type Write, type Written } from '../../store/store.ts';
import { structureParts } from '../../validation/structure.ts';
import { requirePermission } from '../access/require.ts';
import { writtenBody } from '../answer.ts';
import { bundlePieces } from '../bundle.ts';
import { untilSettled } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { requireTargets, withoutStamp } from '../prepare.ts';
import { type Interaction, routeRequest } from '../route.ts';
import { versionMismatch } from '../write.ts';
import { resolveConditional } from './conditional-references.ts';
import { atEntry, type BundleEntry, bundleEntry, entryError, entryText, requestOfEntry } from './entries.ts';
import { entryIdentities, type Identities } from './identities.ts';
import { inTurn, requireClient } from './in-turn.ts';
import { entryWrite, isPatch, joinSameConditions, type Planned, planEntry, refuseOverlap } from './plan.ts';
import { answerResponse, entryFailure, failureResponse, statusResponse, writtenResponse } from './response.ts';
import { parsed, requireList, type SentBundle } from './sent-bundle.ts';

export type Perform = (request: FhirRequest, caller: Caller) => Promise<Answer>;

/** Answers with a transaction-response Bundle that mirrors the entries; throws the error of the first that fails. */
export async function transaction(
  bundle: SentBundle,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  const { turn } = bundle;
  const routed: { entry: BundleEntry; interaction: Interaction }[] = [];
  for (const entry of await soundEntries(bundle, caller, context)) {
    await turn();
    routed.push({ entry, interaction: routeEntry(entry, request, caller, context) });
  }
  const { planned, writes, written } = await untilSettled(() =>
    commitEntries(routed, request, caller, context, perform, turn),
  );
  const faults: unknown[] = [];
  const responses = await inTurn(planned, async (one) => {
    await turn();
    const write = writes.get(one.entry.at);
    const done = written.get(one.entry.at);
    return write === undefined || done === undefined
      ? unwrittenResponse(one, request, caller, context, perform, faults)
      : writeResponse(write, done, request, context);
  });
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'transaction-response' }, responses),
    interaction: 'transaction',
    ...(faults.length === 0 ? {} : { faults }),
  };
}

/**
 * The entries, checked with all that they hold, each parsed by itself. Throws FhirError('invalid') with every problem of
 * structure, or for the first entry that asks for nothing known.
 */
async function soundEntries(bundle: SentBundle, caller: Caller, context: EngineContext): Promise<BundleEntry[]> {
  const envelope = withoutStamp(bundle.envelope) as SentBundle['envelope'];
  const parts = structureParts('Bundle', context.definitions);
  const entries: BundleEntry[] = [];
  let refusal: FhirError | undefined;
  for (const [name, member] of Object.entries(envelope)) {
    if (parts.isFull) break;
    if (name !== 'entry' || bundle.entries === undefined || bundle.entries.length === 0) {
      parts.members({ [name]: member });
      continue;
    }
    for (const at of bundle.entries.keys()) {
      await bundle.turn();
      if (parts.isFull) break;
      const text = entryText(bundle, at, { isTrusted: caller.kind === 'system' });
      const sent = unstamped(parsed(text.bytes));
      parts.element('entry', at, sent);
      const entry = bundleEntry(sent, text, { at, baseUrl: context.baseUrl, bundle });
      if (entry instanceof FhirError) refusal ??= entry;
      else entries.push(entry);
    }
  }
  if (parts.issues.length > 0) throw new FhirError('invalid', parts.issues);
  requireList(bundle);
  if (refusal !== undefined) throw refusal;
  return entries;
}

/** The stamps of the resources that are to be written are the server's as well. */
function unstamped(entry: unknown): unknown {
  const resource = (entry as { resource?: unknown } | null)?.resource;
  const kept = withoutStamp(resource);
  return kept === resource ? entry : { ...(entry as object), resource: kept };
}

function routeEntry(entry: BundleEntry, request: FhirRequest, caller: Caller, context: EngineContext): Interaction {
  return atEntry(entry, () => {
    const interaction = routeRequest(entry, context.definitions);
    requirePermission(interaction, requestOfEntry(entry, request), caller);
    if (interaction.kind === 'bundle')
      throw new FhirError('invalid', 'A Bundle cannot be an entry of a transaction that is to be processed.');
    if (interaction.kind === 'operation' && interaction.operation.affectsState)
      throw new FhirError('not-supported', 'An operation that changes something cannot be part of a transaction.');
    const needsBody = ['create', 'update', 'conditional-update', 'patch', 'conditional-patch'].includes(
      interaction.kind,
    );
    if (needsBody && entry.head === undefined) throw new FhirError('invalid', `${entry.method} needs a resource.`);
    return interaction;
  });
}

async function commitEntries(
  routed: readonly { entry: BundleEntry; interaction: Interaction }[],
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
  turn: Turn,
): Promise<{ planned: Planned[]; writes: Map<number, Write>; written: Map<number, Written> }> {
  const checks: Check[] = [];
  const planned: Planned[] = [];
  for (const { entry, interaction } of routed) {
    await turn();
    requireClient(request.signal);
    planned.push(await planEntry(entry, interaction, request, checks, caller, context));
  }
  joinSameConditions(planned);
  refuseOverlap(planned);
  await turn();
  await requireReads(planned, request, caller, perform, turn);
  await turn();
  const identities = { ...entryIdentities(planned), conditional: NO_IDENTITIES };
  const conditional = await resolveConditional(planned, identities, checks, caller, context, turn);
  const writes = new Map<number, Write>();
  for (const one of planned) {
    await turn();
    const write = entryWrite(one, { ...identities, conditional }, context);
    if (write !== undefined) writes.set(one.entry.at, write);
  }
  const list = [...writes.values()];
  await requireTargets(list, caller, context, turn);
  const results = await commit(writes, planned, checks, context);
  const written = new Map([...writes.keys()].map((at, index) => [at, results[index] as Written] as const));
  return { planned, writes, written };
}

const NO_IDENTITIES: Identities = new Map();

/**
 * What a read would fail with fails the transaction, and only before the commit can it; so reads are answered before it,
 * with the deletions of the transaction in mind. What the transaction writes itself can be read. The answers are kept for
 * the response, except where the commit changes what they say.
 */
async function requireReads(
  planned: readonly Planned[],
  request: FhirRequest,
  caller: Caller,
  perform: Perform,
  turn: Turn,
): Promise<void> {
  const changes = new Map<string, 'written' | 'deleted'>();
  for (const { entry, target, found } of planned) {
    if (target !== undefined && !found)
      changes.set(`${target.type}/${target.id}`, entry.method === 'DELETE' ? 'deleted' : 'written');
  }
  const reads = planned.filter(({ entry, target }) => target === undefined && entry.method !== 'DELETE');
  await inTurn(reads, async (one) => {
    await turn();
    const { entry, interaction } = one;
    const read = 'id' in interaction && !('compartment' in interaction) ? `${interaction.type}/${interaction.id}` : '';
    const change = changes.get(read);
    try {
      if (change === 'deleted' && interaction.kind === 'read')
        throw new FhirError('deleted', `${read} is deleted by this transaction and cannot be read in it.`);
      if (change === 'written') return;
      const answer = await perform(requestOfEntry(entry, request), caller);
      const staysTrue =
        interaction.kind === 'read' || interaction.kind === 'vread' || interaction.kind === 'capabilities';
      if (changes.size === 0 || staysTrue) one.answer = answer;
    } catch (error) {
      throw entryError(entry.at, error);
    }
  });
}

/** `writes` by the place of their entry. */
async function commit(
  writes: ReadonlyMap<number, Write>,
  planned: readonly Planned[],
  checks: readonly Check[],
  context: EngineContext,
): Promise<Written[]> {
  if (writes.size === 0) return [];
  try {
    return await context.commit({ writes: [...writes.values()], checks });
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'too-costly') {
      const problem = 'This transaction is larger than the store takes at once; send it in several.';
      throw new FhirError('too-costly', problem, { cause: error });
    }
    const failed = error instanceof StoreError && error.kind === 'version' ? [...writes][error.at] : undefined;
    if (failed === undefined) throw error;
    const [at, write] = failed;
    // A patch did not ask for a version; it takes what is there now.
    if (planned.some((one) => one.entry.at === at && isPatch(one))) throw error;
    throw entryError(at, versionMismatch(write, error as StoreError));
  }
}

function writeResponse(write: Write, written: Written, request: FhirRequest, context: EngineContext): Uint8Array[] {
  const { type, id } = write;
  const status = write.body === null ? 204 : written.created ? 201 : 200;
  return writtenResponse({ type, id, status, ...written }, () => writtenBody(write, written), request, context);
}

/** The response of an entry that wrote nothing: a read, or something that was as it should be. */
async function unwrittenResponse(
  { entry, target, found, answer }: Planned,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
  faults: unknown[],
): Promise<Uint8Array[]> {
  try {
    if (answer !== undefined) return answerResponse(answer);
    if (target !== undefined && found) return await foundResponse(target, request, caller, context);
    if (entry.method === 'DELETE') return statusResponse(204);
    return answerResponse(await perform(requestOfEntry(entry, request), caller));
  } catch (error) {
    // The transaction is committed: whatever became of this entry since it was tried is no failure of the whole.
    return failureResponse(entryFailure(error, faults));
  }
}

async function foundResponse(
  { type, id }: { type: string; id: string },
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Uint8Array[]> {
  const row = await context.store.read(type, id, caller.filter);
  // Deleted by another since it was found: it was there when the transaction was committed.
  if (row === undefined || row.body === null) return statusResponse(200, `${context.baseUrl}/${type}/${id}`);
  return writtenResponse({ ...row, status: 200 }, () => row.body ?? undefined, request, context);
}
