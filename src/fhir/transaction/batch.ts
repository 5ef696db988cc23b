// A batch: entries that have nothing to do with each other, each answered for itself. https://hl7.org/fhir/R4/http.html#transaction
import { FhirError } from '../../base/outcome.ts';
import { structureIssues, structureParts } from '../../validation/structure.ts';
import { preferences } from '../answer.ts';
import { bundlePieces } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { withoutStamp } from '../prepare.ts';
import { type BundleEntry, bundleEntry, entryText, envelopeOf, requestOfEntry } from './entries.ts';
import { inTurn, requireClient } from './in-turn.ts';
import { answerResponse, entryFailure, failureResponse } from './response.ts';
import { requireList, type SentBundle } from './sent-bundle.ts';
import type { Perform } from './transaction.ts';

/** Answers with a batch-response Bundle; a failed entry has its own outcome and hinders no other. */
export async function batch(
  bundle: SentBundle,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  const { turn } = bundle;
  const responses: Uint8Array[][] = [];
  const faults: unknown[] = [];
  requireList(bundle);
  const own = structureIssues(withoutStamp(envelopeAround(bundle)), context.definitions);
  if (own.length > 0) throw new FhirError('invalid', own);
  const entries: BundleEntry[] = [];
  for (const at of (bundle.entries ?? []).keys()) {
    await turn();
    const entry = soundEntry(bundle, at, caller, context);
    if (entry instanceof FhirError) responses[at] = failureResponse(entry);
    else entries.push(entry);
  }
  const respond = async (entry: BundleEntry): Promise<void> => {
    await turn();
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

/** The Bundle without its entries, which are checked one by one; a list that is empty is told as what it is. */
function envelopeAround({ envelope, entries }: SentBundle): unknown {
  if (entries === undefined || entries.length === 0) return envelope;
  const { entry: _, ...others } = envelope;
  return others;
}

/** An entry, or what is wrong with it around its resource, which is checked when the entry is processed. */
function soundEntry(bundle: SentBundle, at: number, caller: Caller, context: EngineContext): BundleEntry | FhirError {
  try {
    const text = entryText(bundle, at, { isTrusted: caller.kind === 'system' });
    const sent = envelopeOf(text);
    const entry = bundleEntry(sent, text, { at, baseUrl: context.baseUrl, bundle });
    if (entry instanceof FhirError) return entry;
    const parts = structureParts('Bundle', context.definitions);
    parts.element('entry', at, sent);
    return parts.issues.length === 0 ? entry : new FhirError('invalid', parts.issues);
  } catch (error) {
    if (error instanceof FhirError) return error;
    throw error;
  }
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
