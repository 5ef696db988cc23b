// $lastn: the most recent observations of a subject, so many of each code.
// https://hl7.org/fhir/R4/observation-operation-lastn.html
import { setImmediate as pause } from 'node:timers/promises';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Condition, Row } from '../../store/store.ts';
import { requireSearchable } from '../access/require.ts';
import { bundlePieces, searchEntry } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { compileCriteria } from '../search/compile.ts';
import { followedPrefixes, includedRows } from '../search/include.ts';
import { parameterPrefix, sortPrefix } from '../search/keys.ts';
import { parseSearch, type SearchRequest } from '../search/parse.ts';
import { queryString } from '../search/query.ts';
import { resolveCriteria } from '../search/resolve.ts';
import { subset } from '../subset.ts';
import type { OperationInput } from './input.ts';
import { CodeGroups, newestOfEach, type Observed } from './lastn-groups.ts';
import type { Operation, OperationCall } from './operation.ts';

export const lastn: Operation = {
  code: 'lastn',
  definition: 'http://hl7.org/fhir/OperationDefinition/Observation-lastn',
  types: ['Observation'],
  affectsState: false,
  perform,
};

/** A searchset of the newest observations of each group, newest first. Takes what a search of Observation takes, and max. */
async function perform(call: OperationCall, caller: Caller, context: EngineContext): Promise<Answer> {
  const asked = lastnRequest(call.input());
  const { definitions, clock, baseUrl } = context;
  const request = parseSearch(['Observation'], asked.query, { definitions, lenient: false });
  if (request.countOnly) throw notAccepted('_summary=count');
  requireSearchable(['Observation'], request.criteria, request.sort, caller);
  const criteria = await resolveCriteria(request.criteria, caller, context);
  const where = compileCriteria('Observation', criteria, { ...context, now: clock.now() });
  const ids = newestOfEach(await observed(where, asked, caller, context), asked.max);
  if (ids.length > limits.lastnAnswersMax) {
    throw new FhirError(
      'too-costly',
      `These are ${ids.length} observations, and $lastn sends at most ${limits.lastnAnswersMax}; ask for a smaller max, or for fewer codes or categories.`,
    );
  }
  const rows = await observations(ids, request, caller, context);
  const included = await includedRows(rows, request, caller, context);
  const { selection } = request;
  const entryOf = (row: LiveRow, mode: 'match' | 'include'): Uint8Array[] =>
    searchEntry(
      selection === undefined ? row : { ...row, body: subset(row.body, selection, definitions) },
      mode,
      baseUrl,
    );
  const entries = [...rows.map((row) => entryOf(row, 'match')), ...included.map((row) => entryOf(row, 'include'))];
  const url = `${baseUrl}/Observation/$lastn?${queryString([...asked.pairs])}`;
  const head = { type: 'searchset', total: rows.length, link: [{ relation: 'self' as const, url }] };
  return { status: 200, headers: {}, body: bundlePieces(head, entries), interaction: 'operation' };
}

type LiveRow = Row & { body: Uint8Array };

// ---- what is asked for ----

interface LastnRequest {
  max: number;
  /** The search among whose matches the newest are wanted. */
  query: string;
  /** All parameters, as they were sent. */
  pairs: readonly (readonly [string, string])[];
  /** All matches are of one code, so that the first ones are the answer. */
  isOneCode: boolean;
}

/** The order and the number of the answer are those of the operation itself. */
const REFUSED = ['_sort', '_count', '_total', '_asOf'];

const notAccepted = (name: string): FhirError =>
  new FhirError(
    'invalid',
    `"${name}" is not accepted by $lastn, which sends the newest first and as many of each code as "max" says.`,
  );

function lastnRequest(input: OperationInput): LastnRequest {
  const pairs = [...new Set(input.parameters.map(({ name }) => name))].flatMap((name) =>
    input.texts(name).map((text) => [name, text] as const),
  );
  const refused = pairs.find(([name]) => REFUSED.includes(name));
  if (refused !== undefined) throw notAccepted(refused[0]);
  const search = pairs.filter(([name]) => name !== 'max');
  requireSubjectAndCode(search.map(([name]) => name));
  return {
    max: maxIn(input),
    query: queryString(search),
    pairs,
    isOneCode: search.some(([name, value]) => name === 'code' && /^[^|,\\]+\|[^|,\\]+$/.test(value)),
  };
}

function maxIn(input: OperationInput): number {
  const text = input.text('max') ?? '1';
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new FhirError(
      'invalid',
      '"max" takes a whole number from 1 on: how many observations of each code are wanted.',
    );
  }
  return Number(text);
}

/**
 * "The request for a lastn query SHALL include: a subject using either the patient or subject search parameter; a
 * category parameter and/or a search parameter that contains a code element in its FHIRPath expression."
 */
function requireSubjectAndCode(names: readonly string[]): void {
  const codes = names.filter((name) => !name.endsWith(':missing')).map((name) => name.split(/[:.]/, 1)[0] ?? '');
  if (!codes.some((code) => code === 'patient' || code === 'subject')) {
    throw new FhirError('invalid', '$lastn needs "patient" or "subject": whose observations are wanted.');
  }
  if (!codes.some((code) => code === 'category' || /(?:^|-)code(?:-|$)/.test(code))) {
    throw new FhirError(
      'invalid',
      '$lastn needs "category" or a parameter about codes: code, combo-code, component-code or one with a value, such as code-value-quantity.',
    );
  }
}

// ---- what there is ----

/** Rows of one look into the history; of each only two lists of keys are read. */
const STEP = 2_000;

/** The matches, newest first, each with its group and date; of one code only as many as the answer can need. */
async function observed(
  where: Condition,
  { max, isOneCode }: LastnRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Observed[]> {
  const codeList = sortPrefix(parameterPrefix('Observation', 'code'), 'token');
  const dateList = sortPrefix(parameterPrefix('Observation', 'date'), 'date');
  const groups = new CodeGroups();
  const found: Observed[] = [];
  for (let after: string | undefined; ; ) {
    const page = await context.store.search(
      {
        type: 'Observation',
        where,
        order: [],
        limit: isOneCode ? Math.min(max + 1, STEP) : STEP,
        bodyless: true,
        keysOf: [codeList, dateList],
        budgetMs: limits.queryBudgetMs,
        ...(after === undefined ? {} : { after }),
      },
      caller.filters.s,
    );
    const texts = await textsOf(page.rows, codeList, caller, context);
    for (const { id, keys = [] } of page.rows) {
      const codes = keys.filter((key) => key.startsWith(codeList));
      const date = keys.find((key) => key.startsWith(dateList));
      const group = groups.join(codes.length > 0 ? codes : [`text ${texts.get(id) ?? ''}`]);
      found.push({ id, group, ...(date === undefined ? {} : { date }) });
    }
    after = page.next;
    if (after === undefined || (isOneCode && isEnough(found, max))) break;
    if (found.length >= limits.lastnObservationsMax) throw tooMany();
    // A store on this thread would let nobody else in between.
    await pause();
  }
  return found.map((one) => ({ ...one, group: groups.groupOf(one.group) }));
}

/** The last one cannot tie with the last that is wanted. */
const isEnough = (found: readonly Observed[], max: number): boolean => {
  const [last, wanted] = [found.at(-1), found[max - 1]];
  return found.length > max && (last?.date !== wanted?.date || last?.date === undefined);
};

const tooMany = (): FhirError =>
  new FhirError(
    'too-costly',
    `More than ${limits.lastnObservationsMax} observations match; narrow them with date, category or code.`,
  );

/** "Text only codes SHALL be treated and grouped based on the text": the texts of those rows that have no code, by id. */
async function textsOf(
  rows: readonly Row[],
  codeList: string,
  caller: Caller,
  context: EngineContext,
): Promise<Map<string, string>> {
  const ids = rows.filter(({ keys = [] }) => !keys.some((key) => key.startsWith(codeList))).map(({ id }) => id);
  const bodies = await context.store.readMany(
    ids.map((id) => ({ type: 'Observation', id })),
    caller.filter,
  );
  return new Map(
    bodies.flatMap((row) => {
      if (row === undefined || row.body === null) return [];
      const { code } = JSON.parse(Buffer.from(row.body).toString('utf8')) as { code?: { text?: string } };
      return [[row.id, code?.text ?? ''] as const];
    }),
  );
}

/** Observations fetched at once. */
const FETCHED = 500;

/** The resources with these ids, in the same order; those that are gone by now are left out. */
async function observations(
  ids: readonly string[],
  request: SearchRequest,
  caller: Caller,
  context: EngineContext,
): Promise<LiveRow[]> {
  const byId = new Map<string, LiveRow>();
  for (let at = 0; at < ids.length; at += FETCHED) {
    const some = ids.slice(at, at + FETCHED);
    const page = await context.store.search(
      {
        type: 'Observation',
        where: { kind: 'ids', ids: some },
        order: [],
        limit: some.length,
        keysOf: followedPrefixes('Observation', request.includes, context),
        budgetMs: limits.queryBudgetMs,
      },
      caller.filters.s,
    );
    for (const row of page.rows) if (row.body !== null) byId.set(row.id, row as LiveRow);
  }
  return ids.flatMap((id) => byId.get(id) ?? []);
}
