// The parameters of $stats. https://hl7.org/fhir/R4/observation-operation-stats.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { nearest } from '../../base/text.ts';
import { periodRange } from '../../model/dates.ts';
import { parseReference } from '../../model/references.ts';
import type { EngineContext } from '../context.ts';
import type { InputParameter, OperationInput } from './input.ts';
import { statistics } from './stats-math.ts';

export interface Coding {
  system?: string;
  code: string;
}

export interface StatsRequest {
  /** As sent. */
  subject: string;
  codings: readonly Coding[];
  /** Only measurements of this time: what was sent, or the hours up to now. */
  period?: { start?: string; end?: string };
  /** Codes of the statistics, each once, in the order sent. */
  wanted: readonly string[];
  /** How many of the observations are to be sent along. */
  sources: number;
}

/** Throws FhirError('invalid') naming the parameter and what it takes. */
export function statsRequest(input: OperationInput, context: EngineContext): StatsRequest {
  const period = periodIn(input, context);
  return {
    subject: subjectIn(input, context),
    codings: codingsIn(input),
    ...(period === undefined ? {} : { period }),
    wanted: wantedIn(input),
    sources: sourcesIn(input),
  };
}

function subjectIn(input: OperationInput, { baseUrl, definitions }: EngineContext): string {
  const text = input.text('subject') ?? '';
  const { kind, id } = parseReference(text, baseUrl, (type) => definitions.isResourceType(type));
  if ((kind === 'relative' || kind === 'absolute') && id !== undefined) return text;
  throw new FhirError('invalid', '$stats needs "subject": one reference such as Patient/123.');
}

/** `code` with `system`, `coding` as a Coding, or in a query `coding=system|code`. */
function codingsIn(input: OperationInput): Coding[] {
  const system = input.text('system');
  const codes = input.texts('code').map((code): Coding => ({ code, ...(system === undefined ? {} : { system }) }));
  if (system !== undefined && codes.length === 0)
    throw new FhirError('invalid', '"system" is the one of "code"; give a code.');
  const codings = [...codes, ...input.all('coding').map(codingOf)];
  if (codings.length === 0 || codings.some(({ code }) => code === '')) {
    throw new FhirError('invalid', '$stats needs "code" (with "system") or "coding": what was measured.');
  }
  if (codings.length > limits.statsCodesMax) {
    throw new FhirError(
      'too-costly',
      `$stats takes at most ${limits.statsCodesMax} codes; these are ${codings.length}.`,
    );
  }
  return codings;
}

function codingOf({ value }: InputParameter): Coding {
  if (typeof value === 'string') {
    const bar = value.indexOf('|');
    return bar < 0 ? { code: value } : { system: value.slice(0, bar), code: value.slice(bar + 1) };
  }
  const { system, code } = (value ?? {}) as { system?: unknown; code?: unknown };
  if (typeof code !== 'string') throw new FhirError('invalid', '"coding" takes a Coding with a code.');
  return { code, ...(typeof system === 'string' ? { system } : {}) };
}

const HOUR_MS = 3_600_000;
/** A hundred years. */
const HOURS_MAX = 876_600;

function periodIn(input: OperationInput, context: EngineContext): StatsRequest['period'] {
  const hours = input.text('duration');
  const [period, ...more] = input.all('period');
  if (hours !== undefined && period !== undefined) {
    throw new FhirError('invalid', 'Give "duration" or "period", not both: each says which time is meant.');
  }
  if (hours !== undefined) return lastHours(hours, context);
  if (period === undefined) return undefined;
  const { start, end } = (period.value ?? {}) as { start?: unknown; end?: unknown };
  const isPeriod =
    typeof period.value === 'object' && [start, end].every((one) => ['string', 'undefined'].includes(typeof one));
  if (more.length > 0 || !isPeriod) {
    throw new FhirError('invalid', '"period" takes one Period, in a Parameters resource; in a query, use "duration".');
  }
  const given = {
    ...(typeof start === 'string' ? { start } : {}),
    ...(typeof end === 'string' ? { end } : {}),
  };
  periodRange(given, context.timeZone);
  return given;
}

function lastHours(text: string, { clock }: EngineContext): { start: string; end: string } {
  const hours = /^\d{1,9}(?:\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  if (!(hours > 0 && hours <= HOURS_MAX)) {
    throw new FhirError('invalid', '"duration" takes hours up to now, as a positive number such as 1 or 0.5.');
  }
  const now = clock.now();
  return { start: new Date(now - hours * HOUR_MS).toISOString(), end: new Date(now).toISOString() };
}

/** Names of STU3, and those that R4's own parameter still gives as examples. */
const FORMER: Readonly<Record<string, string>> = { max: 'maximum', min: 'minimum', totalcount: 'total-count' };

function wantedIn(input: OperationInput): string[] {
  const accepted = [...statistics.keys()];
  const wanted = input.texts('statistic').map((text) => (Object.hasOwn(FORMER, text) ? (FORMER[text] ?? text) : text));
  const unknown = wanted.find((code) => !statistics.has(code));
  if (unknown !== undefined || wanted.length === 0) {
    const near = unknown === undefined ? undefined : nearest(unknown, accepted);
    const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
    throw new FhirError(
      'invalid',
      `$stats needs "statistic", once for each that is wanted.${hint} Accepted: ${accepted.join(', ')}.`,
    );
  }
  return [...new Set(wanted)];
}

/** "If the include parameter is absent or equal to "false" the limit parameter SHALL be ignored by the server." */
function sourcesIn(input: OperationInput): number {
  const include = input.text('include') ?? 'false';
  if (include !== 'true' && include !== 'false') throw new FhirError('invalid', '"include" takes true or false.');
  if (include === 'false') return 0;
  const limit = input.text('limit') ?? String(limits.statsSourcesMax);
  if (!/^[1-9]\d{0,8}$/.test(limit)) throw new FhirError('invalid', '"limit" takes a whole number from 1 on.');
  return Math.min(Number(limit), limits.statsSourcesMax);
}
