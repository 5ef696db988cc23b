// Searches of AuditEvents: the record is walked by time, by patient or by agent, and what it has no index for is decided
// on each event. https://hl7.org/fhir/R4/auditevent.html#search
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { AuditRow, AuditSearch } from '../../store/store.ts';
import { json } from '../answer.ts';
import { type BundleLink, bundlePieces, entryWith } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { pagePosition, pageUrl } from '../page-link.ts';
import { subset } from '../subset.ts';
import { placeOfId, type Rendered, renderRow } from './audit-event.ts';
import { identified } from './audit-identifiers.ts';
import { type AuditQuestion, parseAuditSearch } from './audit-parameters.ts';

/** The last event of a page: time and place of its line, and how many events of the line were looked at. */
type Place = [at: number, chain: string, seq: number, events: number];

interface Found {
  events: Rendered[];
  /** Where to go on; absent when there is no more. */
  next?: Place;
}

/** `patient`: of a compartment search. */
export async function searchAuditEvents(
  query: string,
  patient: string | undefined,
  isVisible: (rendered: Rendered) => boolean,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const path = patient === undefined ? 'AuditEvent' : `Patient/${patient}/AuditEvent`;
  const position = await pagePosition(path, query, context);
  const asked = position?.query ?? query;
  const question = parseAuditSearch(asked, patient, context, await identified(asked, caller, context));
  const after = position === undefined ? undefined : (JSON.parse(position.cursor) as Place);
  const { events, next }: Found = question.isCount ? { events: [] } : await page(question, after, isVisible, context);
  for (const { patients } of events) context.trail?.showEvent(patients);
  const links: BundleLink[] = [
    { relation: 'self', url: `${context.baseUrl}/${path}${asked === '' ? '' : `?${asked}`}` },
  ];
  if (next !== undefined) {
    const url = await pageUrl({ path, query: asked, cursor: JSON.stringify(next) }, context);
    links.push({ relation: 'next', url });
  }
  const isWhole = after === undefined && next === undefined && !question.isCount;
  const total = isWhole ? events.length : after === undefined ? await totalOf(question, isVisible, context) : undefined;
  const head = { type: 'searchset', ...(total === undefined ? {} : { total }), link: links };
  return {
    status: 200,
    headers: {},
    body: bundlePieces(
      head,
      events.map((rendered) => entryOf(rendered, question, context)),
    ),
    interaction: patient === undefined ? 'search-type' : 'search-compartment',
  };
}

function entryOf({ event }: Rendered, { selection }: AuditQuestion, context: EngineContext): Uint8Array[] {
  const whole = json(event);
  const body = selection === undefined ? whole : subset(whole, selection, context.definitions);
  return entryWith(`${context.baseUrl}/AuditEvent/${event.id}`, [body], { search: { mode: 'match' } });
}

async function page(
  question: AuditQuestion,
  after: Place | undefined,
  isVisible: (rendered: Rendered) => boolean,
  context: EngineContext,
): Promise<Found> {
  const { store } = context;
  const events: Rendered[] = [];
  if (question.ids !== undefined) {
    for (const id of question.ids) {
      const one = await eventOf(id, context);
      if (one !== undefined && question.matches(one) && isVisible(one)) events.push(one);
    }
    return { events };
  }
  const search = searchFrom(question, after);
  let looked = 0;
  let cursor: string | undefined;
  do {
    const chunk = await store.audit.rows({ ...search, ...(cursor === undefined ? {} : { after: cursor }) });
    for (const row of chunk.rows) {
      const start = after === undefined ? 0 : firstAfter(row, after, search.descending);
      if (start === undefined) continue;
      const rendered = renderRow(row, context);
      for (let at = start; at < rendered.length; at++) {
        const one = rendered[at] as Rendered;
        if (!question.matches(one) || !isVisible(one)) continue;
        if (events.length === question.count) return { events, next: [row.at, row.chain, row.seq, at] };
        events.push(one);
      }
      if (++looked === limits.auditLinesMax) return { events, next: [row.at, row.chain, row.seq, rendered.length] };
    }
    cursor = chunk.next;
  } while (cursor !== undefined);
  return { events };
}

/**
 * How many there are in all, where that is asked for. FhirError('too-costly') where it would have to be told and too many
 * lines had to be looked at.
 */
async function totalOf(
  question: AuditQuestion,
  isVisible: (rendered: Rendered) => boolean,
  context: EngineContext,
): Promise<number | undefined> {
  const { isCount, total, ids } = question;
  if (!isCount && total === 'none') return undefined;
  const isDue = isCount || total === 'accurate';
  const most = isDue ? limits.auditTotalLinesMax : limits.auditLinesMax;
  const isFound = (one: Rendered): boolean => question.matches(one) && isVisible(one);
  if (ids !== undefined) {
    const events = await Promise.all(ids.map((id) => eventOf(id, context)));
    return events.filter((one) => one !== undefined && isFound(one)).length;
  }
  let count = 0;
  let looked = 0;
  let cursor: string | undefined;
  do {
    const search = { ...searchFrom(question, undefined), ...(cursor === undefined ? {} : { after: cursor }) };
    const { rows, next } = await context.store.audit.rows(search);
    for (const row of rows) count += renderRow(row, context).filter(isFound).length;
    looked += rows.length;
    cursor = next;
  } while (cursor !== undefined && looked < most);
  if (cursor === undefined) return count;
  if (!isDue) return undefined;
  throw new FhirError(
    'too-costly',
    `To count these events more than ${most} lines would have to be looked at; ask for a shorter period, by date, or leave _total out.`,
  );
}

/** The lines that may hold matches, from where the page before ended. */
function searchFrom({ search, descending }: AuditQuestion, after: Place | undefined): AuditSearch {
  const whole = { ...search, descending, limit: limits.pageSizeMax };
  if (after === undefined) return whole;
  const [at] = after;
  return descending
    ? { ...whole, to: Math.min(search.to ?? at + 1, at + 1) }
    : { ...whole, from: Math.max(search.from ?? at, at) };
}

/** The first event of a line that comes after a place: by time, chain and place in it. undefined: the line came before. */
function firstAfter(row: AuditRow, [at, chain, seq, events]: Place, descending: boolean): number | undefined {
  if (row.chain === chain && row.seq === seq) return events;
  const order = row.at - at || (row.chain === chain ? row.seq - seq : row.chain < chain ? -1 : 1);
  return order > 0 === descending ? undefined : 0;
}

/** The event that an id names, if there is one. */
export async function eventOf(
  id: string,
  context: Pick<EngineContext, 'store' | 'baseUrl' | 'outsideClients'>,
): Promise<Rendered | undefined> {
  const place = placeOfId(id);
  if (place === undefined) return undefined;
  const { chain, seq } = place;
  const { rows } = await context.store.audit.rows({ chain, afterSeq: seq - 1, descending: false, limit: 1 });
  const [row] = rows;
  if (row === undefined || row.seq !== seq) return undefined;
  return renderRow(row, context).find(({ event }) => event.id === id);
}
