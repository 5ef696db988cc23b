// Arithmetic on days written YYYY-MM-DD, and the sample clinic's wall clock. The clinic stands in Arizona, which keeps
// UTC-7 all year: every instant has the same offset, whatever the zone data of the machine.

const dayMs = 86_400_000;

export function addDays(day: string, days: number): string {
  return new Date(Date.parse(day) + days * dayMs).toISOString().slice(0, 10);
}

/** The same day of a later (or earlier) month; the last day of that month when it is shorter. */
export function addMonths(day: string, months: number): string {
  const [year, month, date] = [day.slice(0, 4), day.slice(5, 7), day.slice(8, 10)].map(Number) as [
    number,
    number,
    number,
  ];
  const lastDate = new Date(Date.UTC(year, month + months, 0)).getUTCDate();
  return new Date(Date.UTC(year, month - 1 + months, Math.min(date, lastDate))).toISOString().slice(0, 10);
}

export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / dayMs);
}

/** Days of this form sort as text. */
export function earlierDay(a: string, b: string): string {
  return a < b ? a : b;
}

export function laterDay(a: string, b: string): string {
  return a < b ? b : a;
}

/** Whole months of life on `day`. */
export function ageMonths(birthDate: string, day: string): number {
  const months =
    (Number(day.slice(0, 4)) - Number(birthDate.slice(0, 4))) * 12 +
    Number(day.slice(5, 7)) -
    Number(birthDate.slice(5, 7));
  return addMonths(birthDate, months) > day ? months - 1 : months;
}

/** 0 is Sunday, 6 Saturday. */
export function weekday(day: string): number {
  return new Date(Date.parse(day)).getUTCDay();
}

/** The FHIR instant of a minute of the clinic's day: `2025-03-04T09:30:00-07:00`. */
export function instant(day: string, minuteOfDay: number): string {
  const hours = String(Math.floor(minuteOfDay / 60)).padStart(2, '0');
  const minutes = String(minuteOfDay % 60).padStart(2, '0');
  return `${day}T${hours}:${minutes}:00-07:00`;
}
