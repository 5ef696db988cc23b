// A batch: entries that have nothing to do with each other, each answered for itself. https://hl7.org/fhir/R4/http.html#transaction
import { FhirError, type Issue } from '../../base/outcome.ts';
import { structureIssues } from '../../validation/structure.ts';
import { preferences } from '../answer.ts';
import { bundlePieces } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { type Resource, withoutStamp } from '../prepare.ts';
import { type BundleEntry, bundleEntries, requestOfEntry } from './entries.ts';
import { inTurn, requireClient } from './in-turn.ts';
import { answerResponse, entryFailure, failureResponse } from './response.ts';
import type { Perform } from './transaction.ts';

/** Answers with a batch-response Bundle; a failed entry has its own outcome and hinders no other. */
export async function batch(
  bundle: Resource,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  const responses: Uint8Array[][] = [];
  const faults: unknown[] = [];
  const refuse = (at: number, error: FhirError): void => {
    responses[at] ??= failureResponse(error);
  };
  const sound = bundleEntries(request.body, bundle, context.baseUrl, refuse);
  for (const [at, issues] of envelopeIssues(bundle, context)) refuse(at, new FhirError('invalid', issues));
  const entries = sound.filter(({ at }) => responses[at] === undefined);
  const respond = async (entry: BundleEntry): Promise<void> => {
    requireClient(request.signal);
    responses[entry.at] = await batchResponse(entry, request, caller, perform, faults);
  };
  // Patches after other writes and reads after all, so that they see what the batch writes, as one request after another.
  for (const isNow of [isOtherWrite, isPatch, isRead]) await inTurn(entries.filter(isNow), respond);
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'batch-response' }, responses),
    interaction: 'batch',
    ...(faults.length === 0 ? {} : { faults }),
  };
}

const isRead = ({ method }: BundleEntry): boolean => method === 'GET' || method === 'HEAD';
const isPatch = ({ method }: BundleEntry): boolean => method === 'PATCH';
const isOtherWrite = (entry: BundleEntry): boolean => !isRead(entry) && !isPatch(entry);

/**
 * What is wrong with the entries around their resources, by entry; each resource is checked when its entry is processed.
 * Throws FhirError('invalid') for what is wrong with the Bundle itself.
 */
function envelopeIssues(bundle: Resource, context: EngineContext): Map<number, Issue[]> {
  const entry = Array.isArray(bundle.entry) ? bundle.entry.map(withoutResource) : bundle.entry;
  const envelope = withoutStamp(entry === undefined ? bundle : { ...bundle, entry });
  const byEntry = new Map<number, Issue[]>();
  const own: Issue[] = [];
  for (const issue of structureIssues(envelope, context.definitions)) {
    const at = /^Bundle\.entry\[(\d+)\]/.exec(issue.expression ?? '')?.[1];
    if (at === undefined) own.push(issue);
    else byEntry.set(Number(at), [...(byEntry.get(Number(at)) ?? []), issue]);
  }
  if (own.length > 0) throw new FhirError('invalid', own);
  return byEntry;
}

function withoutResource(entry: unknown): unknown {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return entry;
  const { resource: _, ...envelope } = entry as { resource?: unknown };
  return envelope;
}

async function batchResponse(
  entry: BundleEntry,
  request: FhirRequest,
  caller: Caller,
  perform: Perform,
  faults: unknown[],
): Promise<Uint8Array[]> {
  try {
    if (entry.path === '' && entry.method === 'POST')
      throw new FhirError('invalid', 'A batch cannot be an entry of a batch.');
    const answer = await perform(requestOfEntry(entry, request), caller);
    if (isRead(entry) || answer.interaction === 'operation') return answerResponse(answer);
    // A deletion has a body only to say how many it deleted.
    return answerResponse(answer, entry.method === 'DELETE' ? 'outcome' : repeated(request));
  } catch (error) {
    return failureResponse(entryFailure(error, faults));
  }
}

/** What a write's response shows of its body: the client sent the resource a moment ago, so nothing unless asked for. */
function repeated(request: FhirRequest): 'resource' | 'outcome' | 'nothing' {
  const preference = request.header('prefer');
  if (!/\breturn=/.test(preference ?? '')) return 'nothing';
  const wanted = preferences(preference).return;
  return wanted === 'representation' ? 'resource' : wanted === 'OperationOutcome' ? 'outcome' : 'nothing';
}
