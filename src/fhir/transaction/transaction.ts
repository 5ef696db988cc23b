// A transaction: all entries or none, in one commit. https://hl7.org/fhir/R4/http.html#trules
import { STATUS_CODES } from 'node:http';
import { FhirError, operationOutcome } from '../../base/outcome.ts';
import type { Check, Write, Written } from '../../store/store.ts';
import { StoreError } from '../../store/store.ts';
import { preferences, versionInHeader, writtenBody } from '../answer.ts';
import { bundlePieces, entryWith } from '../bundle.ts';
import { matchOne, untilSettled } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { checkedResource, deletionOf, type Resource, requireTargets, writeOf } from '../prepare.ts';
import { type Interaction, routeRequest } from '../route.ts';
import { conditionalTarget, criteriaIn, versionMismatch, versionUrl } from '../write.ts';
import { type BundleEntry, bundleEntries, requestOfEntry } from './entries.ts';
import {
  addIdentity,
  conditionalParts,
  conditionalReferences,
  type Identities,
  withFinalIdentities,
} from './identities.ts';

export type Perform = (request: FhirRequest, caller: Caller) => Promise<Answer>;

/** What an entry comes to. `write` absent: it reads, or its condition found that nothing is to be done. */
interface Planned {
  entry: BundleEntry;
  interaction: Interaction;
  /** "Type/id" that the entry is about, for those that write. */
  target?: { type: string; id: string };
  expect?: Write['expect'];
  /** The condition found this; nothing is written. */
  found?: boolean;
}

/** Answers with a transaction-response Bundle that mirrors the entries; throws the error of the first that fails. */
export async function transaction(
  bundle: Resource,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
  perform: Perform,
): Promise<Answer> {
  checkedResource(bundle, 'Bundle', context);
  const entries = bundleEntries(request.body, bundle, context.baseUrl);
  const routed = entries.map((entry) => ({ entry, interaction: routeEntry(entry, context) }));
  const { planned, writes, written } = await untilSettled(() => commitEntries(routed, request, caller, context));
  const responses = await Promise.all(
    planned.map((one) =>
      entryResponse(one, writes.get(one.entry.at), written.get(one.entry.at), request, caller, context, perform),
    ),
  );
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'transaction-response' }, responses),
    interaction: 'transaction',
  };
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
): Promise<{ planned: Planned[]; writes: Map<number, Write>; written: Map<number, Written> }> {
  const checks: Check[] = [];
  const planned: Planned[] = [];
  for (const { entry, interaction } of routed)
    planned.push(await planEntry(entry, interaction, request, checks, caller, context));
  refuseOverlap(planned);
  const identities = new Map<string, string>();
  for (const { entry, target } of planned) {
    if (target !== undefined) addIdentity(identities, entry.fullUrl, `${target.type}/${target.id}`, entry.at);
  }
  const conditional = await resolveConditional(planned, caller, context);
  const writes = new Map<number, Write>();
  for (const one of planned) {
    const write = entryWrite(one, identities, conditional, context);
    if (write !== undefined) writes.set(one.entry.at, write);
  }
  const list = [...writes.values()];
  await requireTargets(list, caller, context);
  const results = await commit(list, checks, context);
  const written = new Map([...writes.keys()].map((at, index) => [at, results[index] as Written] as const));
  return { planned, writes, written };
}

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
        return { entry, interaction, target: { type, id: context.clock.newId() }, expect: 'absent' };
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
        return { entry, interaction, target: { type, id }, ...(expect === undefined ? {} : { expect }) };
      }
      case 'delete': {
        const { type, id } = interaction;
        return { entry, interaction, target: { type, id }, ...expectation(own) };
      }
      case 'conditional-delete': {
        const { type } = interaction;
        const match = await matchOne(type, entry.query, caller, context);
        checks.push(match.check);
        return match.id === undefined ? { entry, interaction } : { entry, interaction, target: { type, id: match.id } };
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

/** "If any resource identities overlap in steps 1-3, then the transaction SHALL fail." */
function refuseOverlap(planned: readonly Planned[]): void {
  const written = new Map<string, number>();
  for (const { entry, target, found } of planned) {
    if (target === undefined) continue;
    const identity = `${target.type}/${target.id}`;
    const other = written.get(identity);
    // Entries that found the same resource and leave it alone do not contradict each other.
    if (other !== undefined && !(found && planned[other]?.found)) {
      throw new FhirError(
        'invalid',
        `Entries ${other} and ${entry.at} are about the same resource; a transaction changes each only once.`,
        {
          expression: `Bundle.entry[${entry.at}]`,
        },
      );
    }
    written.set(identity, entry.at);
  }
}

async function resolveConditional(
  planned: readonly Planned[],
  caller: Caller,
  context: EngineContext,
): Promise<Identities> {
  const conditional = new Map<string, string>();
  for (const { entry, target, found } of planned) {
    if (target === undefined || found || entry.bytes.length === 0) continue;
    for (const reference of conditionalReferences(entry.bytes)) {
      if (!conditional.has(reference))
        conditional.set(reference, await resolveReference(reference, entry, caller, context));
    }
  }
  return conditional;
}

async function resolveReference(
  reference: string,
  entry: BundleEntry,
  caller: Caller,
  context: EngineContext,
): Promise<string> {
  const { type, query } = conditionalParts(reference);
  try {
    if (!context.definitions.isResourceType(type))
      throw new FhirError(
        'invalid',
        `A conditional reference begins with a resource type, and "${type.slice(0, 40)}" is none.`,
      );
    const { id } = await matchOne(type, query, caller, context);
    if (id === undefined)
      throw new FhirError(
        'precondition',
        `A conditional reference to ${type} matches nothing; load what it refers to first.`,
      );
    return `${type}/${id}`;
  } catch (error) {
    throw entryError(entry.at, error);
  }
}

function entryWrite(
  { entry, interaction, target, expect, found }: Planned,
  identities: Identities,
  conditional: Identities,
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
    const bytes = withFinalIdentities(entry.bytes, entry.fullUrl, identities, conditional);
    const final = bytes === entry.bytes ? resource : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Resource);
    return writeOf(bytes, final, target.id, context, expect);
  });
}

async function commit(writes: readonly Write[], checks: readonly Check[], context: EngineContext): Promise<Written[]> {
  if (writes.length === 0) return [];
  try {
    return await context.store.commit({ writes, checks });
  } catch (error) {
    const write = error instanceof StoreError && error.kind === 'version' ? writes[error.at] : undefined;
    if (write !== undefined) throw versionMismatch(write, error as StoreError);
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
  if (write !== undefined && written !== undefined) return writtenResponse(write, written, request, context);
  if (target === undefined || !found) {
    if (entry.method === 'DELETE') return entryWith(undefined, undefined, { response: { status: statusLine(204) } });
    // Reads come last and see what the transaction wrote.
    return answerResponse(
      await perform(requestOfEntry(entry, request), caller).catch((error: unknown) =>
        Promise.reject(entryError(entry.at, error)),
      ),
    );
  }
  const row = await context.store.read(target.type, target.id, caller.filter);
  const version = row?.version ?? 1;
  return entryWith(`${context.baseUrl}/${target.type}/${target.id}`, undefined, {
    response: {
      status: statusLine(200),
      location: versionUrl({ ...target, version }, context),
      etag: `W/"${version}"`,
    },
  });
}

function writtenResponse(write: Write, written: Written, request: FhirRequest, context: EngineContext): Uint8Array[] {
  const { type, id } = write;
  const status = write.body === null ? 204 : written.created ? 201 : 200;
  const response = {
    status: statusLine(status),
    ...(write.body === null ? {} : { location: versionUrl({ type, id, version: written.version }, context) }),
    ...(written.version === 0
      ? {}
      : { etag: `W/"${written.version}"`, lastModified: new Date(written.lastUpdated).toISOString() }),
  };
  // A Bundle's response repeats the resources only where the client asks for them: it sent them a moment ago.
  const wanted = /\breturn=representation\b/.test(request.header('prefer') ?? '');
  const body = wanted ? writtenBody(write, written) : undefined;
  return entryWith(write.body === null ? undefined : `${context.baseUrl}/${type}/${id}`, body && [body], {
    response:
      preferences(request.header('prefer')).return === 'OperationOutcome'
        ? { ...response, outcome: operationOutcome([]) }
        : response,
  });
}

/** An answer as the response of an entry; used for reads here and for every entry of a batch. */
export function answerResponse(answer: Answer): Uint8Array[] {
  const { status, headers, body } = answer;
  const lastModified = headers['Last-Modified'];
  const response = {
    status: statusLine(status),
    ...(headers.Location === undefined ? {} : { location: headers.Location }),
    ...(headers.ETag === undefined ? {} : { etag: headers.ETag }),
    ...(lastModified === undefined ? {} : { lastModified: new Date(lastModified).toISOString() }),
  };
  const pieces = body === undefined ? undefined : body instanceof Uint8Array ? [body] : [...body];
  return entryWith(undefined, pieces, { response });
}

/** A failure as the response of an entry of a batch. */
export function failureResponse(error: FhirError): Uint8Array[] {
  return entryWith(undefined, undefined, {
    response: { status: statusLine(error.status), outcome: operationOutcome(error.issues) },
  });
}
