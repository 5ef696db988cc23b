// $stats: statistics of a subject's measurements by code. https://hl7.org/fhir/R4/observation-operation-stats.html
//
// Every result is a Quantity, counts too. What cannot be calculated (the average of nothing, the deviation of one value)
// has the data absent reason "not-a-number". Results are rounded to twelve digits, which hides what binary fractions lose.
import { setImmediate as pause } from 'node:timers/promises';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { parseReference } from '../../model/references.ts';
import { and } from '../../store/conditions.ts';
import type { Condition, Row } from '../../store/store.ts';
import { conditionOf } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { queryString } from '../search/query.ts';
import { rangeOf } from '../search/values.ts';
import type { Operation, OperationCall } from './operation.ts';
import { type Measure, Sample, type Statistic, statistics } from './stats-math.ts';
import { type Coding, type StatsRequest, statsRequest } from './stats-request.ts';
import { type Observation, type Series, SeriesByCode } from './stats-series.ts';
import type { Unit } from './stats-units.ts';

export const stats: Operation = {
  code: 'stats',
  definition: 'http://hl7.org/fhir/OperationDefinition/Observation-stats',
  types: ['Observation'],
  affectsState: false,
  parameters: ['subject', 'code', 'system', 'coding', 'duration', 'period', 'statistic', 'include', 'limit'],
  perform,
};

/** Parameters with a `statistics` Observation for each code, and the `source` Observations if they are asked for. */
async function perform(call: OperationCall, caller: Caller, context: EngineContext): Promise<Answer> {
  const asked = statsRequest(call.input(), context);
  const { series, sources } = await measured(asked, caller, context);
  const pieces: Uint8Array[] = [Buffer.from('{"resourceType":"Parameters","parameter":[')];
  series.forEach((one, at) => {
    const resource = JSON.stringify(statisticsObservation(one, asked));
    pieces.push(Buffer.from(`${at === 0 ? '' : ','}{"name":"statistics","resource":${resource}}`));
  });
  for (const body of sources) pieces.push(Buffer.from(',{"name":"source","resource":'), body, Buffer.from('}'));
  pieces.push(Buffer.from(']}'));
  return { status: 200, headers: {}, body: pieces, interaction: 'operation' };
}

// ---- what was measured ----

type LiveRow = Row & { body: Uint8Array };

/** Observations read by one query. */
const STEP = 500;

async function measured(
  asked: StatsRequest,
  caller: Caller,
  context: EngineContext,
): Promise<{ series: Series[]; sources: Uint8Array[] }> {
  const ofSubject = await conditionOf('Observation', queryString(subjectQuery(asked)), caller, context);
  const codes = asked.codings.map(tokenOf).join(',');
  const ofCodes = await conditionOf('Observation', queryString([['combo-code', codes]]), caller, context);
  const byCode = new SeriesByCode(asked.codings);
  const sources = new Map<string, Uint8Array>();
  const read = ({ id, body }: LiveRow): [Observation, number | undefined] => {
    sources.set(id, asked.sources > 0 ? body : NO_BYTES);
    if (sources.size > limits.statsObservationsMax) throw tooMany();
    const observation = JSON.parse(Buffer.from(body).toString('utf8')) as Observation;
    return [observation, timeOf(observation, context)];
  };
  const members = new Set<string>();
  for await (const row of found(and([ofSubject, ofCodes]), caller, context)) {
    for (const reference of byCode.add(...read(row))) members.add(reference);
  }
  const ids = observationIds(members, context);
  for (let at = 0; at < ids.length; at += STEP) {
    // A member of a panel is measured on the same subject and in the same time, or it is none of its measurements.
    const some: Condition = { kind: 'ids', ids: ids.slice(at, at + STEP) };
    for await (const row of found(and([ofSubject, some]), caller, context)) byCode.addMember(...read(row));
  }
  return { series: byCode.series(), sources: spread([...sources.values()], asked.sources) };
}

const NO_BYTES = new Uint8Array();

/** "Observations with a status of 'entered-in-error' will be excluded from the calculations." */
function subjectQuery({ subject, period }: StatsRequest): [string, string][] {
  return [
    ['subject', escaped(subject)],
    ['status:not', 'entered-in-error'],
    ...(period?.start === undefined ? [] : [['date', `ge${period.start}`] as [string, string]]),
    ...(period?.end === undefined ? [] : [['date', `le${period.end}`] as [string, string]]),
  ];
}

const tokenOf = ({ system, code }: Coding): string =>
  system === undefined ? escaped(code) : `${escaped(system)}|${escaped(code)}`;

/** A value of a search in which nothing separates. */
const escaped = (text: string): string => text.replace(/[\\,|$]/g, '\\$&');

async function* found(where: Condition, caller: Caller, { store }: EngineContext): AsyncGenerator<LiveRow> {
  for (let after: string | undefined; ; ) {
    const page = await store.search(
      {
        type: 'Observation',
        where,
        order: [],
        limit: STEP,
        budgetMs: limits.queryBudgetMs,
        ...(after === undefined ? {} : { after }),
      },
      caller.filters.s,
    );
    for (const row of page.rows) if (row.body !== null) yield row as LiveRow;
    after = page.next;
    if (after === undefined) return;
    // A store on this thread would let nobody else in between.
    await pause();
  }
}

const tooMany = (): FhirError =>
  new FhirError(
    'too-costly',
    `More than ${limits.statsObservationsMax} observations have these codes; ask for a shorter time.`,
  );

/** When it was observed, ms since the epoch: the beginning of its effective time. */
function timeOf(observation: Observation, { timeZone }: EngineContext): number | undefined {
  const { effectiveDateTime, effectiveInstant, effectivePeriod } = observation as {
    effectiveDateTime?: string;
    effectiveInstant?: string;
    effectivePeriod?: { start?: string };
  };
  const value = effectiveDateTime ?? effectiveInstant ?? effectivePeriod?.start;
  return value === undefined ? undefined : rangeOf({ type: 'dateTime', value }, timeZone)?.from;
}

function observationIds(references: ReadonlySet<string>, { baseUrl }: EngineContext): string[] {
  const ids = [...references].flatMap((reference) => {
    const { kind, type, id } = parseReference(reference, baseUrl);
    return kind === 'relative' && type === 'Observation' && id !== undefined ? [id] : [];
  });
  return [...new Set(ids)];
}

/** "The sources observations are subsetted at the server's discretion": evenly, from the first to the last. */
function spread<T>(all: readonly T[], limit: number): T[] {
  if (all.length <= limit) return [...all];
  if (limit < 2) return all.slice(0, limit);
  const step = (all.length - 1) / (limit - 1);
  return Array.from({ length: limit }, (_, at) => all[Math.round(at * step)] as T);
}

// ---- what is told of it ----

const UCUM = 'http://unitsofmeasure.org';

function statisticsObservation(series: Series, { subject, period, wanted }: StatsRequest): object {
  const sample = new Sample(series.points, series.total);
  return {
    resourceType: 'Observation',
    status: 'final',
    code: series.code,
    subject: { reference: subject },
    ...(period === undefined ? {} : { effectivePeriod: period }),
    ...(series.inOtherUnits === 0 ? {} : { note: [{ text: otherUnits(series) }] }),
    component: wanted.flatMap((code) => componentsOf(code, sample, series.unit)),
  };
}

const otherUnits = ({ inOtherUnits, unit }: Series): string =>
  `${inOtherUnits} measurements are left out because their unit cannot be converted into ${unit?.unit ?? unit?.code ?? 'that of the others'}.`;

function componentsOf(code: string, sample: Sample, unit: Unit | undefined): object[] {
  const statistic: Statistic | undefined = statistics.get(code);
  if (statistic === undefined) return [];
  const coding = [
    { system: 'http://terminology.hl7.org/CodeSystem/observation-statistics', code, display: statistic.display },
  ];
  return statistic.results.map(({ name, measure, of }) => {
    const value = of(sample);
    return {
      code: { coding, ...(name === undefined ? {} : { text: `${statistic.display}: ${name}` }) },
      ...(value === undefined || !Number.isFinite(value)
        ? { dataAbsentReason: NOT_A_NUMBER }
        : { valueQuantity: { value: Number(value.toPrecision(12)), ...unitOf(measure, unit) } }),
    };
  });
}

const NOT_A_NUMBER = {
  coding: [{ system: 'http://terminology.hl7.org/CodeSystem/data-absent-reason', code: 'not-a-number' }],
};

/** What is no longer the unit itself has no code: degrees Celsius, for one, cannot be squared in UCUM. */
function unitOf(measure: Measure, unit: Unit = {}): Unit {
  const text = unit.unit ?? unit.code;
  switch (measure) {
    case 'value':
      return unit;
    case 'square':
      return text === undefined ? {} : { unit: `(${text})²` };
    case 'per-day':
      return { unit: `${text === undefined ? '' : `(${text})`}/d` };
    case 'number':
      return { unit: '1', system: UCUM, code: '1' };
  }
}
