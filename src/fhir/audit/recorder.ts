// What is recorded of each request, and when: of a write in the same transaction, of anything else before the answer
// leaves. An answer whose record cannot be stored is not sent. Interactions with AuditEvents are answered from the record.
import type { Clock } from '../../base/clock.ts';
import { FhirError } from '../../base/outcome.ts';
import type { AuditRecord, Write } from '../../store/store.ts';
import { everything } from '../access/callers.ts';
import { preferences } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import type { Interaction } from '../route.ts';
import { storeFailure } from '../store-failure.ts';
import { answerAuditEvents, isAboutAuditEvents } from './audit-events.ts';
import { type AuditBody, agentOf, auditEntries, circumstances, keptText } from './entry.ts';
import { addNamedPatients, addPatients, PATIENT_KEYS } from './patients.ts';
import { type SecurityEvent, statusOf } from './security-event.ts';
import { type Touched, Trail } from './trail.ts';

/** Does the work of an interaction in a context. */
type Work = (context: EngineContext) => Promise<Answer>;

export interface Recorder {
  /** Does the work and records it. Throws what the work throws, or StoreError('unavailable') when it cannot be recorded. */
  perform(
    interaction: Interaction,
    request: FhirRequest,
    caller: Caller,
    context: EngineContext,
    work: Work,
  ): Promise<Answer>;
  /** Records what is no interaction; durable when it resolves. */
  record(event: SecurityEvent): Promise<void>;
}

export function createRecorder({ audit, clock }: { audit: AuditRecord; clock: Clock }): Recorder {
  return {
    async perform(interaction, request, caller, context, work) {
      // Public, the same for everybody, and asked for all the time.
      if (interaction.kind === 'capabilities') return work(context);
      const answered = (inner: EngineContext): Promise<Answer> =>
        isAboutAuditEvents(interaction)
          ? answerAuditEvents(interaction, request, caller, { ...inner, grant: caller.principal?.grant })
          : work(inner);
      if (context.trail === undefined) return recorded(interaction, request, caller, context, answered);
      const answer = await answered(context);
      context.trail.show(interaction, answer);
      return answer;
    },
    async record(event) {
      const { kind, outcome, user, client, scopes, patients = [], purpose, address, requestId, detail } = event;
      const body: AuditBody = {
        k: kind,
        s: statusOf(outcome),
        ...(outcome === 'denied' ? { d: 1 } : {}),
        ...(detail === undefined ? {} : { x: detail }),
        ...(client === undefined ? {} : { c: client }),
        ...(purpose === undefined ? {} : { p: purpose }),
        ...(scopes === undefined ? {} : { sc: scopes }),
        ...(address === undefined ? {} : { a: address }),
        ...(requestId === undefined ? {} : { r: requestId }),
      };
      const agent = user ?? (client === undefined ? 'system' : `client:${client}`);
      await audit.append(auditEntries(clock.now(), agent, new Set(patients), body));
    },
  };
}

async function recorded(
  interaction: Interaction,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  work: Work,
): Promise<Answer> {
  const begun = performance.now();
  const agent = agentOf(caller);
  const asked = { ...circumstances(caller, request), ...what(interaction, request) };
  const entriesOf = (body: Omit<AuditBody, 'ms'>, { patients, counts }: Touched) => {
    const n = counts.size === 0 ? {} : { n: Object.fromEntries(counts) };
    const ms = Math.round(performance.now() - begun);
    return auditEntries(context.clock.now(), agent, patients, { ...body, ...asked, ...n, ms });
  };
  const trail = new Trail(interaction, context, (touched, writes) =>
    entriesOf({ k: committedKind(interaction), s: committedStatus(interaction, writes) }, touched),
  );
  try {
    const answer = await work(trail.context);
    if (!trail.isCommitted || interaction.kind === 'bundle') trail.show(interaction, answer);
    const shown = trail.takeShown();
    if (trail.isCommitted && shown.counts.size === 0) return answer;
    addNamedPatients(interaction, request, shown.patients);
    const body = { k: kindOf(interaction, answer), s: answer.status, ...rehearsal(request) };
    // A deletion that is not in the record yet deleted nothing: nothing was there, or nothing that the caller can see.
    const told = interaction.kind === 'delete' ? await withTarget(body, interaction, shown, caller, context) : body;
    await context.store.audit.append(entriesOf(told, shown));
    return answer;
  } catch (error) {
    const touched: Touched = { patients: new Set(), counts: new Map() };
    const body = { k: kindOf(interaction), ...failure(error) };
    const told = await withTarget(body, interaction, touched, caller, context);
    await context.store.audit.append(entriesOf(told, touched));
    throw error;
  }
}

/** What the request names. */
function what(interaction: Interaction, request: FhirRequest): Partial<AuditBody> {
  switch (interaction.kind) {
    case 'read':
    case 'history-instance':
    case 'update':
    case 'delete':
    case 'patch':
      return { t: interaction.type, i: interaction.id, ...asked(request) };
    case 'vread':
      return { t: interaction.type, i: interaction.id, v: interaction.version };
    case 'operation': {
      const { type, id } = interaction;
      return { ...(type === undefined ? {} : { t: type }), ...(id === undefined ? {} : { i: id }), ...asked(request) };
    }
    case 'search-type':
    case 'search-system':
    case 'search-compartment': {
      const { path, query, body } = request;
      const form = interaction.posted ? { f: keptText(Buffer.from(body).toString('utf8')) } : {};
      const type = interaction.kind === 'search-system' ? undefined : interaction.type;
      return {
        ...(type === undefined ? {} : { t: type }),
        q: keptText(query === '' ? path : `${path}?${query}`),
        ...form,
      };
    }
    case 'create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
    case 'history-type':
      return { t: interaction.type, ...asked(request) };
    case 'history-system':
    case 'bundle':
    case 'capabilities':
      return asked(request);
  }
}

const asked = ({ path, query }: FhirRequest): Partial<AuditBody> =>
  query === '' ? {} : { q: keptText(`${path}?${query}`) };

function kindOf(interaction: Interaction, answer?: Answer): string {
  if (interaction.kind === 'operation') return `$${interaction.operation.code}`;
  return interaction.kind === 'bundle' && answer !== undefined ? answer.interaction : interaction.kind;
}

/** Of Bundles only a transaction commits as such; the entries of a batch do so each for itself. */
const committedKind = (interaction: Interaction): string =>
  interaction.kind === 'bundle' ? 'transaction' : kindOf(interaction);

function committedStatus({ kind }: Interaction, writes: readonly Write[]): number {
  if (kind === 'create') return 201;
  return kind !== 'bundle' && writes.every(({ body }) => body === null) ? 204 : 200;
}

const rehearsal = (request: FhirRequest): Partial<AuditBody> =>
  preferences(request.header('prefer')).dryRun ? { y: 1 } : {};

/** The outcome of an error. What the client is told stands here, and with it the reason that it is not told. */
function failure(error: unknown): { s: number; d?: 1; x: string } {
  const told = asFhirError(error);
  const { status, message, cause } = told;
  const reason = cause instanceof FhirError ? `${message} (${cause.message})` : message;
  return { s: status, ...(status === 401 || status === 403 ? { d: 1 } : {}), x: reason.slice(0, REASON_CHARS_MAX) };
}

const REASON_CHARS_MAX = 400;

function asFhirError(error: unknown): FhirError {
  try {
    return storeFailure(error);
  } catch (cause) {
    return new FhirError('fault', 'The server failed.', { cause });
  }
}

/**
 * What became of a request about one resource that nothing was shown of: whose it is, and that it was hidden from the
 * caller where it was told that there is none, which only the record says.
 */
async function withTarget(
  body: AuditBody,
  interaction: Interaction,
  { patients }: Touched,
  caller: Caller,
  { store }: EngineContext,
): Promise<AuditBody> {
  const target = targetOf(interaction);
  if (target === undefined || body.s >= 500) return body;
  const row = await store.read(target.type, target.id, everything, PATIENT_KEYS);
  if (row === undefined) return body;
  addPatients(row.keys ?? [], patients);
  const isTold = body.s !== 404 && interaction.kind !== 'delete';
  if (isTold || row.body === null) return body;
  const isVisible = (await store.read(target.type, target.id, caller.filter)) !== undefined;
  return isVisible ? body : { ...body, d: 1, x: 'It exists and is hidden from this caller.' };
}

function targetOf(interaction: Interaction): { type: string; id: string } | undefined {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'history-instance':
    case 'update':
    case 'delete':
    case 'patch':
      return interaction;
    case 'operation':
      return interaction.type === undefined || interaction.id === undefined
        ? undefined
        : { type: interaction.type, id: interaction.id };
    default:
      return undefined;
  }
}
