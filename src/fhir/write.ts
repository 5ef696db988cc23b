// create, update and delete, plain and conditional. https://hl7.org/fhir/R4/http.html#create
import { limits } from '../base/limits.ts';
import { FhirError, type Issue, operationOutcome } from '../base/outcome.ts';
import { type Check, type Condition, StoreError, type Write, type Written } from '../store/store.ts';
import { json, preferredBody, versionHeaders, versionInHeader, writtenBody } from './answer.ts';
import { conditionOf, matches, matchOne, untilSettled } from './conditional.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';
import { deletionOf, parseResource, type Resource, requireTargets, writeOf } from './prepare.ts';
import { queryPairs } from './search/query.ts';

/** 201; with If-None-Exist, 200 and the resource that is there already. */
export async function create(
  type: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const resource = parseResource(request.body, type, context);
  const ifNoneExist = request.header('if-none-exist');
  if (ifNoneExist === undefined) {
    const write = writeOf(request.body, resource, context.clock.newId(), context, 'absent');
    return writeAnswer(write, await commitOne(write, [], caller, context), request, context, 'create');
  }
  return untilSettled(async () => {
    const match = await matchOne(type, criteriaIn(ifNoneExist), caller, context);
    if (match.id !== undefined) return existing(type, match.id, request, caller, context);
    const write = writeOf(request.body, resource, context.clock.newId(), context, 'absent');
    return writeAnswer(write, await commitOne(write, [match.check], caller, context), request, context, 'create');
  });
}

/** If-None-Exist holds the query alone; some clients send the type or a question mark before it. */
export const criteriaIn = (ifNoneExist: string): string => ifNoneExist.slice(ifNoneExist.indexOf('?') + 1).trim();

async function existing(
  type: string,
  id: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const row = await context.store.read(type, id, caller.filter);
  // Deleted since it matched: decide anew.
  if (row?.body === undefined || row.body === null) throw new StoreError('check', 'the match is gone');
  const body = preferredBody(row.body, `${type}/${id} matched; nothing was created.`, request);
  const headers = { ...versionHeaders(row), Location: versionUrl(row, context) };
  return { status: 200, headers, ...(body === undefined ? {} : { body }), interaction: 'create' };
}

/** 200, or 201 where nothing was live under the id. If-Match and If-None-Match: * are honoured with 412. */
export async function update(
  type: string,
  id: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const resource = parseResource(request.body, type, context);
  requireId(resource, id);
  const write = writeOf(request.body, resource, id, context, expectedVersion(request));
  return writeAnswer(write, await commitOne(write, [], caller, context), request, context, 'update');
}

function requireId(resource: Resource, id: string): void {
  if (resource.id === id) return;
  const problem = resource.id === undefined ? 'has no id' : 'has another id';
  throw new FhirError('invalid', `The body ${problem}; an update needs the id of the URL in it.`, {
    expression: `${resource.resourceType}.id`,
  });
}

function expectedVersion(request: FhirRequest): Write['expect'] {
  const ifNoneMatch = request.header('if-none-match');
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*')
      throw new FhirError('invalid', 'If-None-Match on an update takes * alone: create only.');
    return 'absent';
  }
  return versionInHeader('If-Match', request.header('if-match'));
}

/** Update of the one match; creation where there is none. https://hl7.org/fhir/R4/http.html#cond-update */
export async function conditionalUpdate(
  type: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const resource = parseResource(request.body, type, context);
  return untilSettled(async () => {
    const match = await matchOne(type, request.query, caller, context);
    const { id, expect } = conditionalTarget(match.id, resource, context, request);
    const write = writeOf(request.body, resource, id, context, expect);
    return writeAnswer(write, await commitOne(write, [match.check], caller, context), request, context, 'update');
  });
}

/** The id that a conditional update writes to, given what matched and what the body says. */
export function conditionalTarget(
  matched: string | undefined,
  resource: { id?: unknown },
  context: EngineContext,
  request: Pick<FhirRequest, 'header'>,
): { id: string; expect?: Write['expect'] } {
  if (matched === undefined) {
    const own = typeof resource.id === 'string' ? resource.id : undefined;
    return { id: own ?? context.clock.newId(), expect: 'absent' };
  }
  if (resource.id !== undefined && resource.id !== matched) {
    throw new FhirError(
      'invalid',
      'The resource that matches has another id than the body; leave the id out or correct the condition.',
    );
  }
  const version = versionInHeader('If-Match', request.header('if-match'));
  return { id: matched, ...(version === undefined ? {} : { expect: version }) };
}

/** 204, also for what does not exist: afterwards it is not there, which is what was asked for. */
export async function remove(
  type: string,
  id: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const write = deletionOf(type, id, versionInHeader('If-Match', request.header('if-match')));
  return deletionAnswer(await commitOne(write, [], caller, context));
}

/**
 * Deletes what matches. https://hl7.org/fhir/R4/http.html#3.1.0.7.1
 *
 * Without `_count`, the one match: 204, also where there is none; 412 when several match. With `_count=n`, up to n matches
 * in one commit: 200 with an outcome that says how many, and 204 where there is none. So many are only deleted where the
 * client said that it means many, and how many at most; one that finds n deleted asks again.
 *
 * Others do it otherwise: HAPI deletes all matches once its configuration allows several, Microsoft's server takes
 * `_count` as well but tells the number in a header of its own, Google's deletes up to 100 unasked.
 */
export async function conditionalDelete(
  type: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const count = deletionCount(request.query);
  if (count !== undefined) return deleteMany(type, count, request, caller, context);
  return untilSettled(async () => {
    const match = await matchOne(type, request.query, caller, context);
    if (match.id === undefined) return { status: 204, headers: {}, interaction: 'delete' };
    const write = deletionOf(type, match.id, versionInHeader('If-Match', request.header('if-match')));
    return deletionAnswer(await commitOne(write, [match.check], caller, context));
  });
}

/** The value of `_count`, which makes a conditional delete one of several; undefined where it is absent. */
export function deletionCount(query: string): number | undefined {
  const value = queryPairs(query).find(([name]) => name === '_count')?.[1];
  if (value === undefined) return undefined;
  const count = /^[1-9]\d{0,8}$/.test(value) ? Number(value) : Number.NaN;
  if (count <= limits.deletionsMax) return count;
  throw new FhirError('invalid', `_count of a conditional delete takes a number from 1 to ${limits.deletionsMax}.`);
}

async function deleteMany(
  type: string,
  count: number,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  if (request.header('if-match') !== undefined) {
    throw new FhirError('invalid', 'If-Match names one version; it cannot go with _count, which deletes several.');
  }
  const where = await conditionOf(type, request.query, caller, context);
  const deleted = await untilSettled(async () => {
    const { ids } = await matches(type, where, caller, context, count);
    if (ids.length === 0) return 0;
    // What matches besides does not matter; what was found must still match.
    const still: Condition = { kind: 'and', of: [where, { kind: 'ids', ids }] };
    const check: Check = { type, where: still, filter: caller.filters.s, ids, atMost: ids.length };
    await context.commit({ writes: ids.map((id) => deletionOf(type, id)), checks: [check] });
    return ids.length;
  });
  if (deleted === 0) return { status: 204, headers: {}, interaction: 'delete' };
  const sentence = `${deleted} ${type} ${deleted === 1 ? 'resource was' : 'resources were'} deleted.`;
  const more = deleted === count ? ' There may be more that match.' : '';
  const issue: Issue = { severity: 'information', code: 'informational', diagnostics: sentence + more };
  return { status: 200, headers: {}, body: json(operationOutcome([issue])), interaction: 'delete' };
}

function deletionAnswer(written: Written): Answer {
  return {
    status: 204,
    headers: written.version === 0 ? {} : { ETag: versionHeaders(written).ETag ?? '' },
    interaction: 'delete',
  };
}

async function commitOne(
  write: Write,
  checks: readonly Check[],
  caller: Caller,
  context: EngineContext,
): Promise<Written> {
  try {
    return await commitWrite(write, checks, caller, context);
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'version') throw versionMismatch(write, error);
    throw error;
  }
}

/** One write and its checks. Throws StoreError('version') or StoreError('check') where another was faster. */
export async function commitWrite(
  write: Write,
  checks: readonly Check[],
  caller: Caller,
  context: EngineContext,
): Promise<Written> {
  await requireTargets([write], caller, context);
  const [written] = await context.commit({ writes: [write], checks });
  if (written === undefined) throw new Error('the store answered without a result');
  return written;
}

/** 412 for a write whose expectation did not hold. */
export function versionMismatch(write: Write, cause: StoreError): FhirError {
  const problem =
    write.expect === 'absent'
      ? 'exists already.'
      : `is not at version ${write.expect} any more (or not there); read it and decide again.`;
  return new FhirError('precondition', `${write.type}/${write.id} ${problem}`, { cause });
}

export const versionUrl = (
  { type, id, version }: { type: string; id: string; version: number },
  context: EngineContext,
): string => `${context.baseUrl}/${type}/${id}/_history/${version}`;

/** What a client is told about its write. */
export function writeAnswer(
  write: Write,
  written: Written,
  request: FhirRequest,
  context: EngineContext,
  interaction: string,
): Answer {
  const { type, id } = write;
  const verb = written.created ? 'created' : 'updated';
  const body = preferredBody(
    writtenBody(write, written),
    `${type}/${id} was ${verb} as version ${written.version}.`,
    request,
  );
  const location = versionUrl({ type, id, version: written.version }, context);
  return {
    status: written.created ? 201 : 200,
    headers: {
      ...versionHeaders(written),
      ...(written.created || interaction === 'create' ? { Location: location } : {}),
    },
    ...(body === undefined ? {} : { body }),
    interaction,
  };
}
