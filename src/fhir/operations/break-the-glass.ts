// Patient/[id]/$break-the-glass: emergency access to one patient's record, for an hour and for reading. Who asks says why,
// signed in a moment ago with a second factor, and the privacy officer finds a Task to look into it.
import { FhirError } from '../../base/outcome.ts';
import { everything, systemCaller } from '../access/callers.ts';
import { mayBreakGlass } from '../access/compile.ts';
import { json } from '../answer.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { present } from '../read.ts';
import type { Operation, OperationCall, OperationContext } from './operation.ts';

/** A sign-in older than this is asked for again. */
const FRESH_MS = 5 * 60 * 1000;
const REVIEW_MS = 72 * 60 * 60 * 1000;
const REASON_CHARS = { min: 10, max: 500 } as const;
export const breakTheGlass: Operation = {
  code: 'break-the-glass',
  definition: 'urn:careloom:operation:Patient-break-the-glass',
  instances: ['Patient'],
  affectsState: true,
  isOpen: true,
  parameters: ['reason'],
  perform,
};

/** 200 with Parameters: the patient, and until when. */
async function perform({ id = '', request, input }: OperationCall, caller: Caller, context: OperationContext) {
  const { principal } = caller;
  if (principal?.user?.fhirUser === undefined || !mayBreakGlass(principal)) {
    throw new FhirError('forbidden', 'Emergency access is for clinicians who have signed in.');
  }
  const { at = 0, by = [] } = principal.user.signedIn ?? {};
  if (context.clock.now() - at > FRESH_MS || !by.includes('mfa')) {
    throw new FhirError('login', 'Sign in again with your second factor; for emergency access that counts 5 minutes.', {
      headers: { 'WWW-Authenticate': 'Bearer error="insufficient_user_authentication", max_age="300"' },
    });
  }
  const reason = reasonOf(input().text('reason'));
  present(await context.store.read('Patient', id, everything), 'Patient', id);
  await askForReview(id, principal.user.fhirUser, reason, request, context);
  const { until } = await context.emergencies.begin(principal.grant, id);
  return answerOf(id, until);
}

function reasonOf(text: string | undefined): string {
  const reason = text?.trim() ?? '';
  if (reason.length >= REASON_CHARS.min && reason.length <= REASON_CHARS.max) return reason;
  throw new FhirError(
    'invalid',
    `"reason" says in ${REASON_CHARS.min} to ${REASON_CHARS.max} characters why this record is needed now.`,
  );
}

/** The Task comes first: nobody has access of which the privacy officer does not learn. */
async function askForReview(
  patient: string,
  fhirUser: string,
  reason: string,
  { origin, signal }: FhirRequest,
  context: OperationContext,
): Promise<void> {
  const now = context.clock.now();
  const task = {
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    priority: 'urgent',
    code: { text: 'Review emergency access' },
    for: { reference: `Patient/${patient}` },
    requester: { reference: fhirUser },
    authoredOn: new Date(now).toISOString(),
    reasonCode: { text: reason },
    restriction: { period: { end: new Date(now + REVIEW_MS).toISOString() } },
  };
  const create: FhirRequest = {
    method: 'POST',
    path: 'Task',
    query: '',
    header: (name) => (name === 'content-type' ? 'application/fhir+json' : undefined),
    body: json(task),
    signal,
    ...(origin === undefined ? {} : { origin }),
  };
  await context.perform(create, systemCaller);
}

const answerOf = (patient: string, until: number): Answer => ({
  status: 200,
  headers: {},
  body: json({
    resourceType: 'Parameters',
    parameter: [
      { name: 'patient', valueReference: { reference: `Patient/${patient}` } },
      { name: 'until', valueInstant: new Date(until).toISOString() },
    ],
  }),
  interaction: 'operation',
});
