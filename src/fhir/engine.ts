// The engine: one request in, one answer out. Every interaction passes through `perform`, whoever asks and by whichever
// edge, also as an entry of a batch.
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { slices } from '../base/slices.ts';
import { createJobs, type JobHandler } from '../jobs/jobs.ts';
import type { Definitions } from '../model/definitions.ts';
import type { Store } from '../store/store.ts';
import { isUnrestricted } from './access/callers.ts';
import { authorizedWrites } from './access/commit.ts';
import { createAccess } from './access/compile.ts';
import { createEmergencies } from './access/emergencies.ts';
import { keptCallers, type Renew } from './access/kept-caller.ts';
import { maskedStore } from './access/masked-store.ts';
import { rechecked } from './access/rechecked.ts';
import { requirePermission } from './access/require.ts';
import { createNotedTies } from './access/ties.ts';
import { createAddedParameters } from './added-parameters.ts';
import { preferences } from './answer.ts';
import { kickOff, mayBeAsync, REQUEST_JOB, requestJob } from './async.ts';
import { createRecorder } from './audit/recorder.ts';
import type { SecurityEvent } from './audit/security-event.ts';
import { withoutTrail } from './audit/trail.ts';
import { type Background, createBackground } from './background.ts';
import type { Principal } from './caller.ts';
import { createCapabilities, type Security, type Software } from './capabilities.ts';
import type { EngineContext } from './context.ts';
import { dryRunContext } from './dry-run.ts';
import { history } from './history.ts';
import type { Answer, Caller, Engine, FhirRequest } from './interaction.ts';
import { type Maintenance, maintenance } from './maintenance.ts';
import { performOperation } from './operations/perform.ts';
import { INDEX_JOB, indexJob } from './parameter-index.ts';
import { conditionalPatch, patch } from './patch.ts';
import { withProvenance } from './provenance.ts';
import { read, vread } from './read.ts';
import { type Interaction, routeRequest } from './route.ts';
import { createSeal, sealKey } from './seal.ts';
import type { SearchScope } from './search/question.ts';
import { search, searchQuery } from './search/search.ts';
import { storeFailure } from './store-failure.ts';
import { batch } from './transaction/batch.ts';
import { sentBundle } from './transaction/sent-bundle.ts';
import { transaction } from './transaction/transaction.ts';
import { conditionalDelete, conditionalUpdate, create, remove, update } from './write.ts';

export interface EngineOptions {
  store: Store;
  definitions: Definitions;
  clock: Clock;
  /** Where clients reach the FHIR base, without a trailing slash. */
  baseUrl: string;
  /** IANA name of the zone in which times without an offset are read. */
  timeZone: string;
  software: Software;
  checkReferences?: boolean;
  /** Secret from which the key of paging links is derived; without it the store keeps one. */
  linkSecret?: string;
  /** Told of faults in background work. */
  onFault?: (error: unknown, kind: string) => void;
  /** How often to look for work and search parameters that other processes left, ms; the default is some seconds. */
  lookMs?: number;
  /** The principal that a grant now stands for; undefined once it is revoked. Absent: as it was when it asked. */
  renew?: Renew;
  /** Where tokens are to be had, while access control is on: for the CapabilityStatement. */
  security?: Security;
  /** Record every request, and serve AuditEvents from the record. Off by default. */
  audit?: boolean;
  /** Clients outside of the covered entity: what they are shown is a disclosure. */
  outsideClients?: readonly string[];
}

/** Who somebody is to the engine, by what is known of them. */
export interface Access {
  callerOf(principal: Principal): Caller;
}

/** Keeps the audit record of what is no interaction: logins, tokens, settings. */
export interface EventRecord {
  /** Durable when it resolves; does nothing where nothing is recorded. */
  record(event: SecurityEvent): Promise<void>;
}

export type { Background };

/** An engine on an open store. */
export async function createEngine(
  options: EngineOptions,
): Promise<Engine & Access & EventRecord & Maintenance & { background: Background }> {
  const { store, clock, baseUrl, timeZone, checkReferences = false, onFault = () => {}, lookMs } = options;
  const seal = createSeal(await sealKey(store, options.linkSecret));
  const handlers: Record<string, JobHandler> = {};
  const often = lookMs === undefined ? {} : { lookMs };
  const jobs = createJobs({ records: store.records, clock, handlers, onFault, ...often });
  const added = createAddedParameters({ base: options.definitions, context: () => context, onFault, ...often });
  const ties = createNotedTies({ store, onFault, ...often });
  const context: EngineContext = {
    store,
    commit: async (commit) => {
      ties.note(commit.writes);
      const written = await store.commit(await added.ready(commit));
      await added.committed(commit.writes);
      return written;
    },
    get definitions() {
      return added.definitions;
    },
    clock,
    baseUrl,
    timeZone,
    checkReferences,
    outsideClients: options.outsideClients ?? [],
    emergencies: createEmergencies(store.records, clock),
    ties,
    jobs,
    seal,
  };
  const recorder = options.audit === true ? createRecorder({ audit: store.audit, clock }) : undefined;
  const callerOf = createAccess(() => context);
  const capabilities = createCapabilities(context, options.software, options.security, options.audit);

  const performIn =
    (context: EngineContext): Engine['perform'] =>
    async (request, caller) => {
      try {
        const interaction = routeRequest(request, context.definitions);
        const { asOfNow } = caller;
        const work = (context: EngineContext) =>
          asOfNow === undefined
            ? permitted(interaction, request, caller, context)
            : asOfNow().then((now) => permitted(interaction, request, now, context));
        if (recorder === undefined) return await work(context);
        return await recorder.perform(interaction, request, caller, context, work);
      } catch (error) {
        throw storeFailure(error);
      }
    };

  const permitted = async (
    interaction: Interaction,
    request: FhirRequest,
    caller: Caller,
    context: EngineContext,
  ): Promise<Answer> => {
    requirePermission(interaction, request, caller);
    if (request.header('prefer') === undefined) return answer(interaction, request, caller, context);
    return preferred(interaction, request, caller, context);
  };

  /** The context as the caller has it: what it may write, what it is shown. */
  const within = (shared: EngineContext, caller: Caller): EngineContext => {
    if (isUnrestricted(caller)) return shared;
    const context = rechecked(shared, caller);
    const store = maskedStore(context.store, caller, context);
    return { ...context, store, ...authorizedWrites(caller, context), grant: caller.principal?.grant };
  };

  /** The preferences that change how a request is worked on, whatever it asks for. */
  const preferred = async (
    interaction: Interaction,
    request: FhirRequest,
    caller: Caller,
    context: EngineContext,
  ): Promise<Answer> => {
    const { async, dryRun } = preferences(request.header('prefer'));
    if (async && mayBeAsync(interaction)) return kickOff(interaction, request, caller, context);
    if (!dryRun) return answer(interaction, request, caller, context);
    const rehearsal = dryRunContext(context, async (commit) => store.commit(await added.ready(commit)));
    const found = await answer(interaction, request, caller, rehearsal);
    return { ...found, headers: { ...found.headers, 'Preference-Applied': 'dry-run' } };
  };

  const answer = async (
    interaction: Interaction,
    request: FhirRequest,
    caller: Caller,
    shared: EngineContext,
  ): Promise<Answer> => {
    const context = within(shared, caller);
    switch (interaction.kind) {
      case 'capabilities':
        return capabilities(request.query);
      case 'read':
        return read(interaction.type, interaction.id, request, caller, context);
      case 'vread':
        return vread(interaction.type, interaction.id, interaction.version, request, caller, context);
      case 'history-instance':
        return history({ type: interaction.type, id: interaction.id }, request, caller, context);
      case 'history-type':
        return history({ type: interaction.type }, request, caller, context);
      case 'history-system':
        return history({}, request, caller, context);
      case 'create':
        return create(interaction.type, request, caller, withProvenance(request, caller, context));
      case 'update':
        return update(interaction.type, interaction.id, request, caller, withProvenance(request, caller, context));
      case 'conditional-update':
        return conditionalUpdate(interaction.type, request, caller, withProvenance(request, caller, context));
      case 'delete':
        return remove(interaction.type, interaction.id, request, caller, context);
      case 'conditional-delete':
        return conditionalDelete(interaction.type, request, caller, context);
      case 'search-type':
      case 'search-system':
      case 'search-compartment':
        return search(
          scopeOf(interaction, context.definitions),
          searchQuery(request, interaction.posted),
          request,
          caller,
          context,
        );
      case 'patch':
        return patch(interaction.type, interaction.id, request, caller, withProvenance(request, caller, context));
      case 'conditional-patch':
        return conditionalPatch(interaction.type, request, caller, withProvenance(request, caller, context));
      case 'operation':
        return performOperation(interaction.operation, interaction, request, caller, {
          ...context,
          perform: performIn(shared),
        });
      case 'bundle':
        return bundle(request, caller, context, performIn(shared), performIn(withoutTrail(shared)));
    }
  };

  const bundle = async (
    request: FhirRequest,
    caller: Caller,
    context: EngineContext,
    perform: Engine['perform'],
    performAlone: Engine['perform'],
  ): Promise<Answer> => {
    if (request.body.length === 0)
      throw new FhirError('invalid', 'POST to the base takes a Bundle of type batch or transaction.');
    // What the server loads itself is as large as the file is: one patient's record has had 27,000 entries.
    const entriesMax = caller.kind === 'system' ? Number.POSITIVE_INFINITY : limits.bundleEntriesMax;
    const sent = await sentBundle(request.body, { entriesMax, turn: slices() });
    if (sent?.envelope.resourceType !== 'Bundle')
      throw new FhirError(
        'invalid',
        'POST to the base takes a Bundle of type batch or transaction; post other resources to their type.',
      );
    if (sent.count > entriesMax) {
      throw new FhirError(
        'too-costly',
        `A Bundle has at most ${entriesMax} entries; this one has ${sent.count}. Send several, or load the file with the command line.`,
      );
    }
    switch (sent.envelope.type) {
      case 'transaction':
        return transaction(sent, request, caller, context, perform);
      case 'batch':
        return batch(sent, request, caller, context, performAlone);
      default:
        throw new FhirError('invalid', 'Only a Bundle of type batch or transaction can be processed.', {
          expression: 'Bundle.type',
        });
    }
  };

  const perform = performIn(context);
  const renewal = options.renew === undefined ? {} : { renew: options.renew };
  handlers[REQUEST_JOB] = requestJob(perform, keptCallers({ callerOf, now: clock.now, ...renewal }), context, onFault);
  handlers[INDEX_JOB] = indexJob(added, () => context, added.seenMs);
  await Promise.all([added.refresh(), ties.refresh()]);
  const background = createBackground({ added, ties, jobs, records: store.records, onFault });
  const record = recorder?.record ?? (async () => {});
  return { perform, callerOf, record, background, ...maintenance(context) };
}

type SearchInteraction = Extract<Interaction, { posted: boolean }>;

function scopeOf(interaction: SearchInteraction, definitions: Definitions): SearchScope {
  const { kind, path } = interaction;
  switch (kind) {
    case 'search-type':
      return { types: [interaction.type], path, interaction: kind };
    case 'search-system':
      return { types: definitions.resourceTypes, path, interaction: kind };
    case 'search-compartment': {
      const compartment = { type: interaction.compartment, id: interaction.id };
      const members = [...(definitions.compartments.get(interaction.compartment) ?? [])]
        .filter(([type, codes]) => codes.length > 0 || type === interaction.compartment)
        .map(([type]) => type);
      return {
        types: interaction.type === undefined ? members : [interaction.type],
        compartment,
        path,
        interaction: kind,
      };
    }
  }
}
