// Local time in an IANA time zone → instants, exact across clock changes. The changes of a zone are asked of Intl once
// for each stretch of a year and kept, because one question costs microseconds and every date of an index asks.

/** A 400th of the Gregorian cycle: clock rules repeat after 400 of them, on the same weekdays. */
const STRETCH_MS = 31_556_952_000;
const CYCLE_STRETCHES = 400;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** No two changes of a zone are known to undo each other within this time. */
const PROBE_MS = 5 * DAY_MS;

/** Before 1800 every zone keeps local mean time; the time of the first stretch asked for stands for all before it. */
const FIRST_STRETCH = Math.floor(Date.UTC(1800, 0, 1) / STRETCH_MS);
/** From 2500 on, a stretch has the changes of the one 400 years before. */
const LAST_STRETCH = Math.floor(Date.UTC(2500, 0, 1) / STRETCH_MS);

/** Offsets of a zone (ms east of UTC) within a stretch: offsets[0], from changes[0] on offsets[1], and so on. */
interface Stretch {
  changes: readonly number[];
  offsets: readonly number[];
}

interface Zone {
  /** UTC throughout. */
  isFixedZero: boolean;
  format: Intl.DateTimeFormat;
  stretches: Map<number, Stretch>;
}

/** Memory of what Intl answered, for the few zones of a configuration. */
const zones = new Map<string, Zone>();

/**
 * The instant at which clocks in `zone` show `local` (milliseconds as if it were UTC): the first one when they show it
 * twice; when they skip it, it is moved on by what they skip. Throws RangeError when there is no such zone.
 */
export function instantOf(local: number, zone: string): number {
  const known = zoneOf(zone);
  if (known.isFixedZero) return local;
  const before = offsetAt(known, local - DAY_MS);
  const after = offsetAt(known, local + DAY_MS);
  if (before === after || offsetAt(known, local - before) === before) return local - before;
  return offsetAt(known, local - after) === after ? local - after : local - before;
}

/** The first instant of the day in `zone` that begins at `midnight` (milliseconds as if it were UTC), shown or skipped. */
export function firstOfDay(midnight: number, zone: string): number {
  const known = zoneOf(zone);
  if (known.isFixedZero) return midnight;
  const before = offsetAt(known, midnight - DAY_MS);
  const after = offsetAt(known, midnight + DAY_MS);
  if (before === after || offsetAt(known, midnight - before) === before) return midnight - before;
  if (offsetAt(known, midnight - after) === after) return midnight - after;
  return changeWithin(known, midnight - after, midnight - before);
}

function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const isFixedZero = format.resolvedOptions().timeZone === 'UTC';
  const zone: Zone = { isFixedZero, format, stretches: new Map() };
  zones.set(name, zone);
  return zone;
}

function offsetAt(zone: Zone, instant: number): number {
  const index = Math.floor(instant / STRETCH_MS);
  const at = stretchAt(index);
  const { changes, offsets } = stretchOf(zone, at);
  const moved = at < index ? instant - (index - at) * STRETCH_MS : instant;
  let i = 0;
  while (i < changes.length && moved >= (changes[i] as number)) i++;
  return offsets[at > index ? 0 : i] as number;
}

/** The first change in (from, to]; only asked for when there is one. */
function changeWithin(zone: Zone, from: number, to: number): number {
  for (let index = Math.floor(from / STRETCH_MS); index <= Math.floor(to / STRETCH_MS); index++) {
    const at = stretchAt(index);
    const shift = (index - at) * STRETCH_MS;
    const change = stretchOf(zone, at).changes.find((instant) => instant + shift > from && instant + shift <= to);
    if (change !== undefined) return change + shift;
  }
  return to;
}

/** The stretch whose changes are those of stretch `index`. */
function stretchAt(index: number): number {
  if (index < FIRST_STRETCH) return FIRST_STRETCH;
  if (index < LAST_STRETCH) return index;
  return LAST_STRETCH - CYCLE_STRETCHES + ((index - LAST_STRETCH) % CYCLE_STRETCHES);
}

function stretchOf(zone: Zone, index: number): Stretch {
  const known = zone.stretches.get(index);
  if (known !== undefined) return known;
  const stretch = readStretch(zone.format, index * STRETCH_MS);
  zone.stretches.set(index, stretch);
  return stretch;
}

/** Probes a stretch from its start; where two probes differ, the second of the change is found by halving. */
function readStretch(format: Intl.DateTimeFormat, start: number): Stretch {
  const end = start + STRETCH_MS;
  const changes: number[] = [];
  const offsets = [askOffset(format, start)];
  for (let from = start; from < end; from += PROBE_MS) {
    const to = Math.min(from + PROBE_MS, end);
    const offset = askOffset(format, to);
    const last = offsets[offsets.length - 1] as number;
    if (offset === last) continue;
    const change = changeBetween(format, from, to, last);
    if (change >= end) continue;
    changes.push(change);
    offsets.push(offset);
  }
  return { changes, offsets };
}

function changeBetween(format: Intl.DateTimeFormat, from: number, to: number, offset: number): number {
  let before = Math.floor(from / 1000);
  let after = Math.ceil(to / 1000);
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (askOffset(format, middle * 1000) === offset) before = middle;
    else after = middle;
  }
  return after * 1000;
}

function askOffset(format: Intl.DateTimeFormat, instant: number): number {
  const whole = Math.floor(instant / 1000) * 1000;
  const shown: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(whole)) shown[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = shown;
  return Date.UTC(year, month - 1, day, hour, minute, second) - whole;
}
