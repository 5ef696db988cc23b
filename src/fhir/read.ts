// read and vread. https://hl7.org/fhir/R4/http.html#read
import { FhirError } from '../base/outcome.ts';
import type { Row } from '../store/store.ts';
import { etag, rowAnswer, versionHeaders } from './answer.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';
import { rowsAsOf } from './search/as-of.ts';
import { instantOf } from './search/parse.ts';
import { queryPairs } from './search/query.ts';
import { selectionOf, subset } from './subset.ts';

/** 200, 304 for a version that the client has, 404 for what is not there or not to be seen, 410 for what was deleted. */
export async function read(
  type: string,
  id: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const row = present(await found(type, id, request, caller, context), type, id);
  return isKnown(row, request)
    ? { status: 304, headers: versionHeaders(row), interaction: 'read' }
    : rowAnswer(selected(row, request, context), 'read');
}

/** The current version, or with `_asOf` the one of that instant. */
async function found(
  type: string,
  id: string,
  { query }: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Row | undefined> {
  const asOf = query.includes('_asOf=') ? queryPairs(query).find(([name]) => name === '_asOf')?.[1] : undefined;
  if (asOf === undefined) return context.rehearsed?.get(`${type}/${id}`) ?? context.store.read(type, id, caller.filter);
  const [row] = await rowsAsOf(type, [id], instantOf(asOf), caller.filter, context);
  return row;
}

/** 200, 404 for a version that does not exist, 410 for the version that is the deletion. */
export async function vread(
  type: string,
  id: string,
  version: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const row = /^[1-9]\d{0,14}$/.test(version)
    ? await context.store.readVersion(type, id, Number(version), caller.filter)
    : undefined;
  if (row === undefined) throw new FhirError('not-found', `${type}/${id} has no such version.`);
  return rowAnswer(selected(present(row, type, id), request, context), 'vread');
}

type LiveRow = Row & { body: Uint8Array };

/** What `_summary` or `_elements` leave of it. */
function selected(row: LiveRow, { query }: FhirRequest, { definitions }: EngineContext): LiveRow {
  const selection = query === '' ? undefined : selectionOf(row.type, query, definitions);
  return selection === undefined ? row : { ...row, body: subset(row.body, selection, definitions) };
}

/** The row of what is there; FhirError('not-found') or FhirError('deleted') for what is not. */
export function present(row: Row | undefined, type: string, id: string): LiveRow {
  if (row === undefined) throw new FhirError('not-found', `${type}/${id} does not exist.`);
  if (row.body === null) {
    throw new FhirError('deleted', `${type}/${id} was deleted; its history has the versions before.`, {
      headers: versionHeaders(row),
    });
  }
  return row as LiveRow;
}

/** If-None-Match decides; If-Modified-Since only where that is absent (RFC 9110 13.1.3). */
function isKnown(row: Row, request: FhirRequest): boolean {
  const match = request.header('if-none-match');
  if (match !== undefined)
    return match.split(',').some((tag) => tag.trim() === '*' || sameTag(tag.trim(), row.version));
  const since = request.header('if-modified-since');
  if (since === undefined) return false;
  const ms = Date.parse(since);
  return !Number.isNaN(ms) && Math.floor(row.lastUpdated / 1000) * 1000 <= ms;
}

const sameTag = (tag: string, version: number): boolean => tag === etag(version) || tag === `"${version}"`;
