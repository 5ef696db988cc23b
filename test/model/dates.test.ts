// FHIR dates as ranges of time, at the edges of the calendar and of clock changes; Temporal is the oracle.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { Temporal } from 'temporal-polyfill';
import { FhirError } from '../../src/base/outcome.ts';
import {
  dateRange,
  isDate,
  isDateTime,
  isInstant,
  isTime,
  MAX_TIME,
  MIN_TIME,
  periodRange,
  timingRange,
} from '../../src/model/dates.ts';

const ZONES = [
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'America/Sao_Paulo',
  'America/Havana',
  'America/St_Johns',
  'Africa/Casablanca',
  'Pacific/Apia',
  'America/Toronto',
  'UTC',
];

const iso = (text: string, zone = 'UTC'): string => {
  const { from, to } = dateRange(text, zone);
  return `${new Date(from).toISOString()} ${new Date(to).toISOString()}`;
};

/** The same range by Temporal. */
function oracle(text: string, zone: string): { from: number; to: number } {
  const day = (date: Temporal.PlainDate) => date.toZonedDateTime(zone).epochMilliseconds;
  const range = (date: Temporal.PlainDate, step: Temporal.DurationLike) => {
    const from = day(date);
    return { from, to: Math.max(day(date.add(step)), from + 1) };
  };
  if (text.length === 4) return range(Temporal.PlainDate.from(`${text}-01-01`), { years: 1 });
  if (text.length === 7) return range(Temporal.PlainDate.from(`${text}-01`), { months: 1 });
  if (text.length === 10) return range(Temporal.PlainDate.from(text), { days: 1 });
  const from = Temporal.PlainDateTime.from(text).toZonedDateTime(zone).epochMilliseconds;
  const fraction = text.split('.')[1];
  const length =
    text.length === 16 ? 60_000 : fraction === undefined ? 1000 : Math.max(1, 1000 / 10 ** fraction.length);
  return { from, to: from + length };
}

t.test('a date stands for the whole of its year, month, day, minute or second', async (t) => {
  const cases: [string, string][] = [
    ['2023', '2023-01-01T00:00:00.000Z 2024-01-01T00:00:00.000Z'],
    ['2024-02', '2024-02-01T00:00:00.000Z 2024-03-01T00:00:00.000Z'],
    ['2024-12', '2024-12-01T00:00:00.000Z 2025-01-01T00:00:00.000Z'],
    ['2024-02-29', '2024-02-29T00:00:00.000Z 2024-03-01T00:00:00.000Z'],
    ['2000-02-29', '2000-02-29T00:00:00.000Z 2000-03-01T00:00:00.000Z'],
    ['1969-12-31', '1969-12-31T00:00:00.000Z 1970-01-01T00:00:00.000Z'],
    ['2013-01-14T10:00', '2013-01-14T10:00:00.000Z 2013-01-14T10:01:00.000Z'],
    ['2013-01-14T10:00Z', '2013-01-14T10:00:00.000Z 2013-01-14T10:01:00.000Z'],
    ['2013-01-14T10:00:05+05:45', '2013-01-14T04:15:05.000Z 2013-01-14T04:15:06.000Z'],
    ['2013-01-14T10:00:05-14:00', '2013-01-15T00:00:05.000Z 2013-01-15T00:00:06.000Z'],
    ['2013-01-14T10:00:05.1Z', '2013-01-14T10:00:05.100Z 2013-01-14T10:00:05.200Z'],
    ['2013-01-14T10:00:05.12Z', '2013-01-14T10:00:05.120Z 2013-01-14T10:00:05.130Z'],
    ['2013-01-14T10:00:05.123Z', '2013-01-14T10:00:05.123Z 2013-01-14T10:00:05.124Z'],
    ['2013-01-14T10:00:05.123999999999Z', '2013-01-14T10:00:05.123Z 2013-01-14T10:00:05.124Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z 2017-01-01T00:00:01.000Z'],
    ['0001', '0001-01-01T00:00:00.000Z 0002-01-01T00:00:00.000Z'],
    ['9999-12-31', '9999-12-31T00:00:00.000Z +010000-01-01T00:00:00.000Z'],
  ];
  for (const [text, expected] of cases) t.equal(iso(text), expected, text);
  t.same(dateRange('0001', 'Asia/Kathmandu').from, MIN_TIME);
  t.same(dateRange('9999-12-31T23:59:59-14:00', 'UTC'), { from: MAX_TIME - 1, to: MAX_TIME });
  t.equal(new Date(MIN_TIME).toISOString(), '0001-01-01T00:00:00.000Z');
  t.equal(new Date(MAX_TIME).toISOString(), '+010000-01-01T00:00:00.000Z');
});

t.test('days at clock changes have the hours they had', async (t) => {
  const hours = (text: string, zone: string) => {
    const { from, to } = dateRange(text, zone);
    return (to - from) / 3_600_000;
  };
  t.equal(hours('2024-03-10', 'America/New_York'), 23);
  t.equal(hours('2024-11-03', 'America/New_York'), 25);
  t.equal(hours('2024-03-31', 'Europe/Berlin'), 23);
  t.equal(hours('2024-10-27', 'Europe/Berlin'), 25);
  t.equal(hours('2024-10-06', 'Australia/Lord_Howe'), 23.5);
  t.equal(hours('2024-04-07', 'Australia/Lord_Howe'), 24.5);
  t.equal(hours('2024-04-07', 'Asia/Kathmandu'), 24);
  // No midnight on this day: the clocks went from 24:00 to 01:00.
  t.equal(iso('2018-11-04', 'America/Sao_Paulo'), '2018-11-04T03:00:00.000Z 2018-11-05T02:00:00.000Z');
  // A time that the clocks skipped is moved on; one that they repeated is the first.
  t.equal(iso('2024-03-10T02:30', 'America/New_York'), '2024-03-10T07:30:00.000Z 2024-03-10T07:31:00.000Z');
  t.equal(iso('2024-11-03T01:30', 'America/New_York'), '2024-11-03T05:30:00.000Z 2024-11-03T05:31:00.000Z');
  t.ok(hours('2011-12-30', 'Pacific/Apia') > 0, 'a day that a zone left out is not an empty range');
});

t.test('Temporal agrees around every clock change', async (t) => {
  const days: string[] = [];
  for (const year of [1919, 1942, 1987, 2007, 2011, 2017, 2018, 2024]) {
    for (
      let date = Temporal.PlainDate.from({ year, month: 1, day: 1 });
      date.year === year;
      date = date.add({ days: 1 })
    ) {
      days.push(date.toString());
    }
  }
  for (const zone of ZONES) {
    const wrong: string[] = [];
    let last = Number.NaN;
    for (const day of days) {
      const { from, to } = dateRange(day, zone);
      const isChange = to - from !== 86_400_000;
      // Every day is compared by its start; days of a change and their neighbours by their times too.
      const times =
        isChange || last !== to - from ? ['00:00', '00:01', '00:30', '01:30', '02:15', '02:30', '03:00', '23:30'] : [];
      last = to - from;
      for (const text of [
        ...(times.length > 0 || day.endsWith('-01') ? [day, day.slice(0, 7)] : []),
        ...times.map((time) => `${day}T${time}`),
      ]) {
        const expected = oracle(text, zone);
        const found = dateRange(text, zone);
        if (found.from !== expected.from || found.to !== expected.to)
          wrong.push(`${text} ${JSON.stringify({ found, expected })}`);
      }
    }
    t.same(wrong, [], zone);
  }
});

t.test('property: Temporal agrees on any date of 1800 to 2300', async () => {
  const two = (max: number, min = 0) => fc.integer({ min, max }).map((value) => String(value).padStart(2, '0'));
  const year = fc.integer({ min: 1800, max: 2300 }).map(String);
  const day = fc.tuple(year, two(12, 1), two(28, 1)).map((parts) => parts.join('-'));
  const text = fc.oneof(
    year,
    fc.tuple(year, two(12, 1)).map((parts) => parts.join('-')),
    day,
    fc.tuple(day, two(23), two(59)).map(([date, hour, minute]) => `${date}T${hour}:${minute}`),
    fc
      .tuple(day, two(23), two(59), two(59), fc.constantFrom('', '.5', '.25', '.125'))
      .map(([date, hour, minute, second, fraction]) => `${date}T${hour}:${minute}:${second}${fraction}`),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(...ZONES), (date, zone) => {
      assert.deepEqual(dateRange(date, zone), oracle(date, zone), `${date} ${zone}`);
    }),
    { numRuns: 1_000, interruptAfterTimeLimit: 5_000 },
  );
});

t.test('clock rules of far years are those of the calendar 400 years before', async (t) => {
  for (const date of ['2724-03-10', '2724-11-03', '9124-07-01']) {
    const near = `${2324 + ((Number(date.slice(0, 4)) - 2324) % 400)}${date.slice(4)}`;
    const shift = Date.parse(`${date}T00:00:00Z`) - Date.parse(`${near}T00:00:00Z`);
    for (const zone of ['America/New_York', 'Europe/Berlin']) {
      t.equal(dateRange(date, zone).from - dateRange(near, zone).from, shift, `${date} ${zone}`);
    }
  }
});

const notDates = [
  '',
  '0000',
  '24',
  '2024-',
  '2024-1',
  '2024-00',
  '2024-13',
  '2024-02-30',
  '2023-02-29',
  '1900-02-29',
  '2024-04-31',
  '2024-01-00',
  '2024-01-01T',
  '2024-01-01T10',
  '2024-01-01T24:00',
  '2024-01-01T10:60',
  '2024-01-01T10:00:61',
  '2024-01-01T10:00:00.',
  '2024-01-01T10:00:00z',
  '2024-01-01t10:00',
  '2024-01-01T10:00:00+14:01',
  '2024-01-01T10:00:00+1:00',
  '2024-01-01T10:00:00 01:00',
  '2024-01-01T10:00:00Zx',
  '2024-01-01 10:00',
  ' 2024',
  '2024 ',
  '-2024',
  '+2024',
  '20240101',
  '2024-01-01Z',
  '２０２４',
  'NaN',
];

t.test('what is not a date is refused with what is accepted', async (t) => {
  for (const text of notDates) {
    t.throws(() => dateRange(text, 'UTC'), FhirError, JSON.stringify(text));
    t.notOk(isDate(text) || isDateTime(text) || isInstant(text), JSON.stringify(text));
  }
  t.throws(() => dateRange('2024-01-01T10:00:00 01:00', 'UTC'), /%2B/);
  const start = performance.now();
  t.notOk(isInstant(`2024-01-01T10:00:00.${'1'.repeat(1e6)}x`));
  t.ok(performance.now() - start < 500);
});

t.test('date, dateTime, instant and time are told apart', async (t) => {
  const formats: [string, boolean, boolean, boolean][] = [
    ['2024', true, true, false],
    ['2024-02', true, true, false],
    ['2024-02-29', true, true, false],
    ['2024-02-29T10:00Z', false, false, false],
    ['2024-02-29T10:00:00', false, false, false],
    ['2024-02-29T10:00:00Z', false, true, true],
    ['2024-02-29T10:00:00.123456+14:00', false, true, true],
  ];
  for (const [text, date, dateTime, instant] of formats) {
    t.same([isDate(text), isDateTime(text), isInstant(text)], [date, dateTime, instant], text);
  }
  for (const text of ['00:00:00', '23:59:60', '10:11:12.5', '10:11:12.123456789']) t.ok(isTime(text), text);
  for (const text of [
    '',
    '24:00:00',
    '10:60:00',
    '10:11',
    '10:11:12.',
    '10:11:12Z',
    '1:11:12',
    '10:11:61',
    '10-11-12',
  ]) {
    t.notOk(isTime(text), text);
  }
});

t.test('a Period reaches from the start of its start to the end of its end', async (t) => {
  t.same(periodRange({ start: '2024-01', end: '2024-02' }, 'UTC'), {
    from: Date.UTC(2024, 0, 1),
    to: Date.UTC(2024, 2, 1),
  });
  t.same(periodRange({ start: '2024-01-05' }, 'UTC'), { from: Date.UTC(2024, 0, 5), to: MAX_TIME });
  t.same(periodRange({ end: '2024-01-05' }, 'UTC'), { from: MIN_TIME, to: Date.UTC(2024, 0, 6) });
  t.same(periodRange({}, 'UTC'), { from: MIN_TIME, to: MAX_TIME });
});

t.test('a Timing reaches over its events and the period of its repeat', async (t) => {
  t.equal(timingRange({}, 'UTC'), undefined);
  t.equal(timingRange({ repeat: {} }, 'UTC'), undefined);
  t.same(timingRange({ event: ['2024-03-05', '2024-01-05', null, '2024-02'] }, 'UTC'), {
    from: Date.UTC(2024, 0, 5),
    to: Date.UTC(2024, 2, 6),
  });
  t.same(
    timingRange({ event: ['2023-03-05'], repeat: { boundsPeriod: { start: '2024-01-01', end: '2024-01-02' } } }, 'UTC'),
    {
      from: Date.UTC(2023, 2, 5),
      to: Date.UTC(2024, 0, 3),
    },
  );
  t.same(timingRange({ repeat: { boundsPeriod: { start: '2024' } } }, 'UTC'), {
    from: Date.UTC(2024, 0, 1),
    to: MAX_TIME,
  });
});
