// What all parts of the sample practice share: the source of choices, the day that counts as today, ids, the book of
// taken times, and short forms of FHIR's data types.
import type { CodeableConcept, Coding, Meta, Money, Quantity, Reference } from 'fhir/r4.js';
import type { Provider } from './sample-data.ts';
import { addDays, weekday } from './sample-days.ts';
import type { Random } from './sample-random.ts';

/** Every resource of the sample carries this tag, so that `_tag=urn:careloom:tag|sample` finds the whole of it. */
export const sampleMeta: Meta = { tag: [{ system: 'urn:careloom:tag', code: 'sample' }] };

export interface World {
  random: Random;
  /** YYYY-MM-DD. */
  today: string;
  /** First day of the charts: visits are kept from here on. */
  since: string;
  /** The next id of a type, `encounter-0001`. */
  nextId(type: string): string;
  book: Book;
}

/** A time at which a provider sees somebody; starts count in minutes of the day. */
export interface Visiting {
  provider: Provider;
  day: string;
  minute: number;
}

export interface Book {
  isFree(time: Visiting): boolean;
  /** Marks a time as taken. */
  take(time: Visiting): void;
  /** Takes the provider's first free time on `day` or the days after it; undefined when there is none before `until`. */
  takeFirst(request: { provider: Provider; day: string; until: string }): Visiting | undefined;
}

/** Starts of the half hours in which the clinic sees patients: nine to twelve and one to half past four. */
export const startMinutes: readonly number[] = [540, 570, 600, 630, 660, 690, 780, 810, 840, 870, 900, 930, 960];

export const visitMinutes = 30;

export function createWorld({ random, today, since }: { random: Random; today: string; since: string }): World {
  const counts = new Map<string, number>();
  return {
    random,
    today,
    since,
    book: createBook(random),
    nextId: (type) => {
      const count = (counts.get(type) ?? 0) + 1;
      counts.set(type, count);
      const prefix = type.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
      return `${prefix}-${String(count).padStart(type === 'Patient' ? 3 : 4, '0')}`;
    },
  };
}

function createBook(random: Random): Book {
  const taken = new Set<string>();
  const key = ({ provider, day, minute }: Visiting) => `${provider.id}|${day}|${minute}`;
  const book: Book = {
    isFree: (time) => !taken.has(key(time)),
    take: (time) => {
      taken.add(key(time));
    },
    takeFirst: ({ provider, day, until }) => {
      for (let tried = day; tried < until; tried = addDays(tried, 1)) {
        if (!provider.weekdays.includes(weekday(tried))) continue;
        const free = startMinutes.map((minute) => ({ provider, day: tried, minute })).filter(book.isFree);
        if (free.length === 0) continue;
        const time = random.pick(free);
        book.take(time);
        return time;
      }
      return undefined;
    },
  };
  return book;
}

export function coding(system: string, code: string, display: string): Coding {
  return { system, code, display };
}

export function concept(system: string, code: string, display: string): CodeableConcept {
  return { coding: [coding(system, code, display)], text: display };
}

export function refer(reference: string, display?: string): Reference {
  return display === undefined ? { reference } : { reference, display };
}

export function usd(amountCents: number): Money {
  return { value: amountCents / 100, currency: 'USD' };
}

export function quantity({ value, unit, ucum }: { value: number; unit: string; ucum: string }): Quantity {
  return { value, unit, system: 'http://unitsofmeasure.org', code: ucum };
}

/** `value` with at most `digits` decimals. */
export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
