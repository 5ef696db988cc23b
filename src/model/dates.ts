// FHIR's dates as text and as ranges of time: "2024-02" is the whole of February, a dateTime to the second is that second.
// https://hl7.org/fhir/R4/datatypes.html#dateTime, https://hl7.org/fhir/R4/search.html#date
import { FhirError } from '../base/outcome.ts';
import { firstOfDay, instantOf } from './zones.ts';

/** Half-open: from ≤ t < to, in milliseconds since the epoch. */
export interface Range {
  from: number;
  to: number;
}

/** The start of year 1. */
export const MIN_TIME = -62_135_596_800_000;
/** The start of year 10000. */
export const MAX_TIME = 253_402_300_800_000;

/** What the time bounds of a Period are made of. */
export interface PeriodBounds {
  start?: string | undefined;
  end?: string | undefined;
}

/** What the time bounds of a Timing are made of. */
export interface TimingBounds {
  event?: readonly (string | null)[] | undefined;
  repeat?: { boundsPeriod?: PeriodBounds | undefined } | undefined;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/**
 * Half-open range [from, to) in milliseconds since the epoch that a FHIR date, dateTime, instant or date of a search
 * stands for, of at least 1 ms. A text without zone is read in `zone` (an IANA name): a time that the clocks skip is
 * moved on by what they skip, one that they repeat is the first. Seconds may be left out, as in searches.
 * Throws FhirError('invalid') if the text is not a date.
 */
export function dateRange(text: string, zone: string): Range {
  const date = parseDate(text);
  if (date === undefined) throw notADate(text);
  return date.hour < 0 ? calendarRange(date, zone) : clockRange(date, zone);
}

/** From the start to the end of a Period; an open end reaches MIN_TIME or MAX_TIME. */
export function periodRange(period: PeriodBounds, zone: string): Range {
  const from = period.start === undefined ? MIN_TIME : dateRange(period.start, zone).from;
  const to = period.end === undefined ? MAX_TIME : dateRange(period.end, zone).to;
  return { from, to: Math.max(to, from + 1) };
}

/** From the first to the last time of `event` and `repeat.boundsPeriod`; undefined when a Timing has neither. */
export function timingRange(timing: TimingBounds, zone: string): Range | undefined {
  const ranges = (timing.event ?? []).filter((event) => event !== null).map((event) => dateRange(event, zone));
  if (timing.repeat?.boundsPeriod !== undefined) ranges.push(periodRange(timing.repeat.boundsPeriod, zone));
  return ranges.length === 0 ? undefined : ranges.reduce(union);
}

/** A FHIR date: `2024`, `2024-02` or `2024-02-29`. */
export function isDate(text: string): boolean {
  const date = parseDate(text);
  return date !== undefined && date.hour < 0;
}

/** A FHIR dateTime: a date, or a time to the second or finer with its offset. */
export function isDateTime(text: string): boolean {
  const date = parseDate(text);
  return date !== undefined && (date.hour < 0 || (date.second >= 0 && !Number.isNaN(date.offset)));
}

/** A FHIR instant: date, time to the second or finer, and offset. */
export function isInstant(text: string): boolean {
  const date = parseDate(text);
  return date !== undefined && date.second >= 0 && !Number.isNaN(date.offset);
}

/** A FHIR time: `hh:mm:ss` with any number of fractional digits, no offset. */
export function isTime(text: string): boolean {
  return (
    twoDigits(text, 0, 0, 23) >= 0 &&
    text.charCodeAt(2) === COLON &&
    twoDigits(text, 3, 0, 59) >= 0 &&
    text.charCodeAt(5) === COLON &&
    twoDigits(text, 6, 0, 60) >= 0 &&
    fractionEnd(text, 8) === text.length
  );
}

/** Days from 1970-01-01 to a day of the Gregorian calendar; month and day from 1. */
export function daysFromEpoch(year: number, month: number, day: number): number {
  // Years are counted from March, so that the leap day is the last: days before the year, plus days before the month.
  const y = month <= 2 ? year - 1 : year;
  const monthFromMarch = month <= 2 ? month + 9 : month - 3;
  const beforeYear = y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  return beforeYear + Math.floor((153 * monthFromMarch + 2) / 5) + day - 719_469;
}

const COLON = 0x3a;
const HYPHEN = 0x2d;

/** What a text says; -1 for what it leaves out, NaN for a missing offset (minutes east of UTC). */
interface DateParts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  fractionMs: number;
  /** How long the last digit of the fraction is, in milliseconds, at least 1. */
  digitMs: number;
  offset: number;
}

function calendarRange({ year, month, day }: DateParts, zone: string): Range {
  if (day > 0) {
    const days = daysFromEpoch(year, month, day);
    return bounded(firstOfDay(days * DAY_MS, zone), firstOfDay((days + 1) * DAY_MS, zone));
  }
  const isDecember = month === 12;
  const next = month < 0 || isDecember ? daysFromEpoch(year + 1, 1, 1) : daysFromEpoch(year, month + 1, 1);
  const first = daysFromEpoch(year, month < 0 ? 1 : month, 1);
  return bounded(firstOfDay(first * DAY_MS, zone), firstOfDay(next * DAY_MS, zone));
}

function clockRange(date: DateParts, zone: string): Range {
  const days = daysFromEpoch(date.year, date.month, date.day);
  const minute = days * DAY_MS + (date.hour * 60 + date.minute) * MINUTE_MS;
  const local = date.second < 0 ? minute : minute + date.second * 1000 + date.fractionMs;
  const from = Number.isNaN(date.offset) ? instantOf(local, zone) : local - date.offset * MINUTE_MS;
  return bounded(from, from + (date.second < 0 ? MINUTE_MS : date.digitMs));
}

/** Within years 1 to 9999 and not empty, whatever the offset; a day that a zone left out keeps a millisecond. */
function bounded(from: number, to: number): Range {
  const start = Math.min(Math.max(from, MIN_TIME), MAX_TIME - 1);
  return { from: start, to: Math.min(Math.max(to, start + 1), MAX_TIME) };
}

function union(one: Range, other: Range): Range {
  return { from: Math.min(one.from, other.from), to: Math.max(one.to, other.to) };
}

/** The parts of `YYYY[-MM[-DD[Thh:mm[:ss[.f…]][Z|±hh:mm]]]]`, or undefined when the text is none or no such day exists. */
function parseDate(text: string): DateParts | undefined {
  const year = twoDigits(text, 0, 0, 99) * 100 + twoDigits(text, 2, 0, 99);
  if (!(year >= 1)) return undefined;
  const date: DateParts = {
    year,
    month: -1,
    day: -1,
    hour: -1,
    minute: -1,
    second: -1,
    fractionMs: 0,
    digitMs: 1000,
    offset: Number.NaN,
  };
  if (text.length === 4) return date;
  date.month = twoDigits(text, 5, 1, 12);
  if (text.charCodeAt(4) !== HYPHEN || Number.isNaN(date.month)) return undefined;
  if (text.length === 7) return date;
  date.day = twoDigits(text, 8, 1, daysInMonth(year, date.month));
  if (text.charCodeAt(7) !== HYPHEN || Number.isNaN(date.day)) return undefined;
  if (text.length === 10) return date;
  return parseClock(text, date) ? date : undefined;
}

/** Reads what follows the day into `date`; false when it is not a time of day. */
function parseClock(text: string, date: DateParts): boolean {
  date.hour = twoDigits(text, 11, 0, 23);
  date.minute = twoDigits(text, 14, 0, 59);
  if (text.charCodeAt(10) !== 0x54 || Number.isNaN(date.hour)) return false;
  if (text.charCodeAt(13) !== COLON || Number.isNaN(date.minute)) return false;
  let at = 16;
  if (text.charCodeAt(at) === COLON) {
    date.second = twoDigits(text, 17, 0, 60);
    if (Number.isNaN(date.second)) return false;
    at = fractionEnd(text, 19);
    if (at < 0) return false;
    if (at > 19) readFraction(text, at, date);
  }
  return at === text.length || parseOffset(text, at, date);
}

function readFraction(text: string, end: number, date: DateParts): void {
  const digits = end - 20;
  let ms = 0;
  for (let i = 0; i < 3; i++) ms = ms * 10 + (i < digits ? text.charCodeAt(20 + i) - 0x30 : 0);
  date.fractionMs = ms;
  date.digitMs = digits === 1 ? 100 : digits === 2 ? 10 : 1;
}

function parseOffset(text: string, at: number, date: DateParts): boolean {
  const sign = text.charCodeAt(at);
  if (sign === 0x5a) {
    date.offset = 0;
    return text.length === at + 1;
  }
  if ((sign !== 0x2b && sign !== HYPHEN) || text.length !== at + 6 || text.charCodeAt(at + 3) !== COLON) return false;
  const minutes = twoDigits(text, at + 1, 0, 14) * 60 + twoDigits(text, at + 4, 0, 59);
  date.offset = sign === HYPHEN ? -minutes : minutes;
  return minutes <= 14 * 60;
}

/** The number that two digits make, NaN when they are no digits or it lies outside [min, max]. */
function twoDigits(text: string, at: number, min: number, max: number): number {
  const tens = text.charCodeAt(at) - 0x30;
  const ones = text.charCodeAt(at + 1) - 0x30;
  if (!(tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9)) return Number.NaN;
  const value = tens * 10 + ones;
  return value >= min && value <= max ? value : Number.NaN;
}

/** End of `.digits` at `start`; `start` when there is no point, -1 when no digit follows it. */
function fractionEnd(text: string, start: number): number {
  if (text.charCodeAt(start) !== 0x2e) return start;
  let at = start + 1;
  for (let code = text.charCodeAt(at); code >= 0x30 && code <= 0x39; ) code = text.charCodeAt(++at);
  return at === start + 1 ? -1 : at;
}

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function daysInMonth(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 && isLeap ? 29 : (monthLengths[month - 1] as number);
}

function notADate(text: string): FhirError {
  const shown = text.length <= 40 ? ` "${text}"` : '';
  const plus = text.includes(' ') ? '; in a URL, write the plus sign of an offset as %2B' : '';
  return new FhirError(
    'invalid',
    `Not a date:${shown}; accepted are YYYY, YYYY-MM, YYYY-MM-DD and YYYY-MM-DDThh:mm[:ss[.fff]] with an optional ` +
      `offset Z or ±hh:mm${plus}`,
  );
}
