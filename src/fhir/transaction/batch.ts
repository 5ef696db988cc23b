// A batch: entries that have nothing to do with each other, each answered for itself. https://hl7.org/fhir/R4/http.html#transaction
import { FhirError } from '../../base/outcome.ts';
import { preferences } from '../answer.ts';
import { bundlePieces } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import type { Resource } from '../prepare.ts';
import { storeFailure } from '../store-failure.ts';
import { type BundleEntry, bundleEntries, requestOfEntry } from './entries.ts';
import { answerResponse, failureResponse, type Perform } from './transaction.ts';

/** Entries under way at once: enough to fill a group commit, few enough to leave room for others. */
const AT_ONCE = 32;

/** Answers with a batch-response Bundle; a failed entry has its own outcome and hinders no other. */
export async function batch(
  bundle: Resource,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  const entries = bundleEntries(request.body, bundle, context.baseUrl);
  const responses: Uint8Array[][] = new Array(entries.length);
  // Writes first, so that a read in the same batch shows them, as it would one request after another.
  const order = [...entries].sort((a, b) => Number(isRead(a)) - Number(isRead(b)));
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let entry = order[next++]; entry !== undefined; entry = order[next++]) {
      responses[entry.at] = await batchResponse(entry, request, caller, perform);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, entries.length) }, worker));
  return { status: 200, headers: {}, body: bundlePieces({ type: 'batch-response' }, responses), interaction: 'batch' };
}

const isRead = ({ method }: BundleEntry): boolean => method === 'GET' || method === 'HEAD';

async function batchResponse(
  entry: BundleEntry,
  request: FhirRequest,
  caller: Caller,
  perform: Perform,
): Promise<Uint8Array[]> {
  try {
    if (entry.path === '' && entry.method === 'POST')
      throw new FhirError('invalid', 'A batch cannot be an entry of a batch.');
    const answer = await perform(requestOfEntry(entry, request), caller);
    const repeats =
      isRead(entry) ||
      (/\breturn=/.test(request.header('prefer') ?? '') && preferences(request.header('prefer')).return !== 'minimal');
    return answerResponse(
      repeats ? answer : { status: answer.status, headers: answer.headers, interaction: answer.interaction },
    );
  } catch (error) {
    return failureResponse(storeFailure(error));
  }
}
