// Which visits a sample patient has had, and what happened in each: decided before any resource is made.
import {
  childCheckups,
  type Illness,
  illnesses,
  type PanelKey,
  type Problem,
  type ProcedureKey,
  problemProcedures,
  providers,
  type VaccineKey,
  type VisitKind,
} from './sample-data.ts';
import { addDays, addMonths, daysBetween, laterDay } from './sample-days.ts';
import { ageYears, type Person } from './sample-people.ts';
import type { Visiting, World } from './sample-world.ts';

export interface Visit {
  time: Visiting;
  kind: VisitKind;
  /** The long-term problems that were dealt with. */
  problems: readonly Problem[];
  illness?: Illness;
  panels: readonly PanelKey[];
  vaccines: readonly VaccineKey[];
  procedure?: ProcedureKey;
}

/** A visit before it has a time. */
interface Wish {
  day: string;
  kind: VisitKind;
  illness?: Illness;
  vaccines?: readonly VaccineKey[];
}

/** The visits of one patient from the start of the charts to yesterday, in order, at most one a day. */
export function planVisits(world: World, person: Person): Visit[] {
  const wishes = [
    ...(person.stage === 'child' ? checkupWishes(world, person) : wellnessWishes(world, person)),
    ...followUpWishes(world, person),
    ...illnessWishes(world, person),
  ];
  const visits: Visit[] = [];
  const days = new Set<string>();
  for (const wish of wishes.toSorted((a, b) => (a.day < b.day ? -1 : a.day > b.day ? 1 : 0))) {
    const provider = world.random.chance(0.15) ? anyProviderFor(world, person) : person.provider;
    const time = world.book.takeFirst({ provider, day: wish.day, until: world.today });
    if (time === undefined || days.has(time.day)) continue;
    days.add(time.day);
    visits.push(createVisit(world, { person, wish, time, earlier: visits }));
  }
  return visits.sort((a, b) => (a.time.day < b.time.day ? -1 : 1));
}

/** The record before ours held this much. */
const takenOverMonths = 60;

/** Vaccines that a child had before the charts begin, as far back as the record that was taken over, or at birth. */
export function earlierVaccines(world: World, person: Person): { day: string; vaccine: VaccineKey }[] {
  if (person.stage !== 'child') return [];
  return childCheckups.flatMap(({ months, vaccines }) => {
    const day = addMonths(person.birthDate, months);
    const isKnown = day < world.since && day >= addMonths(world.since, -takenOverMonths);
    return months === 0 || isKnown ? vaccines.map((vaccine) => ({ day, vaccine })) : [];
  });
}

function anyProviderFor({ random }: World, person: Person) {
  return random.pick(
    providers.filter(({ sees }) => sees === 'all' || (sees === 'children') === (person.stage === 'child')),
  );
}

function checkupWishes({ today, since }: World, { birthDate }: Person): Wish[] {
  return childCheckups
    .map(({ months, vaccines }) => ({
      day: months === 0 ? addDays(birthDate, 6) : addDays(addMonths(birthDate, months), 5),
      kind: 'child-checkup' as const,
      vaccines: months === 0 ? [] : vaccines,
    }))
    .filter(({ day }) => day >= addDays(since, 5) && day < today);
}

function wellnessWishes(world: World, person: Person): Wish[] {
  const { random, since } = world;
  return spaced(world, { from: addDays(since, random.between(0, 300)), every: 380, spread: 40 })
    .filter(() => random.chance(0.65))
    .map((day) => ({ day, kind: ageYears(person, day) >= 65 ? 'senior-wellness' : 'wellness' }));
}

/** The more problems, the closer together; no long-term problem begins before the second birthday. */
function followUpWishes(world: World, { birthDate, problems }: Person): Wish[] {
  const { random, since } = world;
  if (problems.length === 0) return [];
  const from = addDays(laterDay(since, addMonths(birthDate, 25)), random.between(20, 160));
  const every = problems.length > 1 ? 260 : 330;
  return spaced(world, { from, every, spread: 25 }).map((day) => ({
    day,
    kind: random.chance(0.2) ? 'telehealth' : 'follow-up',
  }));
}

/** Days from `from` to yesterday, about `every` days apart. */
function spaced(
  { random, today }: World,
  { from, every, spread }: { from: string; every: number; spread: number },
): string[] {
  const days: string[] = [];
  for (let day = from; day < today; day = addDays(day, every + random.between(-spread, spread))) days.push(day);
  return days;
}

function illnessWishes({ random, today, since }: World, person: Person): Wish[] {
  const from = person.birthDate > since ? addDays(person.birthDate, 60) : since;
  const days = daysBetween(from, today);
  if (days < 30) return [];
  const count = random.between(0, 2);
  return Array.from({ length: count }, () => addDays(from, random.between(0, days - 1))).flatMap((day) => {
    const years = ageYears(person, day);
    const fitting = illnesses.filter(({ fromYears, toYears }) => fromYears <= years && years <= toYears);
    return fitting.length === 0 ? [] : [{ day, kind: 'illness' as const, illness: random.pick(fitting) }];
  });
}

function createVisit(
  world: World,
  { person, wish, time, earlier }: { person: Person; wish: Wish; time: Visiting; earlier: readonly Visit[] },
): Visit {
  const { random } = world;
  const { kind, illness } = wish;
  const isLongTerm = kind === 'follow-up' || kind === 'telehealth';
  const treated = isLongTerm ? person.problems : [];
  const procedure = illness?.procedure ?? (kind === 'follow-up' ? procedureFor(world, treated) : undefined);
  return {
    time,
    kind,
    problems: treated,
    ...(illness ? { illness } : {}),
    ...(procedure ? { procedure } : {}),
    panels: pickPanels(world, { person, kind }),
    vaccines: [
      ...(wish.vaccines ?? []),
      ...(kind === 'telehealth' || !random.chance(0.6) ? [] : seasonalVaccines(person, { time, earlier })),
    ],
  };
}

function procedureFor({ random }: World, treated: readonly Problem[]): ProcedureKey | undefined {
  const possible = treated.flatMap(({ key }) => problemProcedures[key] ?? []);
  return possible.length > 0 && random.chance(0.25) ? random.pick(possible) : undefined;
}

function pickPanels({ random }: World, { person, kind }: { person: Person; kind: VisitKind }): PanelKey[] {
  if (kind === 'follow-up') {
    const wanted = new Set(person.problems.flatMap(({ panels }) => panels));
    return [...wanted].filter((panel) => panel === 'a1c' || random.chance(0.35));
  }
  if (kind === 'wellness' || kind === 'senior-wellness') return random.chance(0.4) ? ['blood', 'lipid'] : [];
  return [];
}

/** The flu vaccine once each autumn, and once the shingles vaccine from fifty on. */
function seasonalVaccines(
  person: Person,
  { time, earlier }: { time: Visiting; earlier: readonly Visit[] },
): VaccineKey[] {
  const { day } = time;
  const month = Number(day.slice(5, 7));
  const hadThisSeason = earlier.some(
    (visit) => visit.vaccines.includes('influenza') && daysBetween(visit.time.day, day) < 150,
  );
  const hadZoster = earlier.some((visit) => visit.vaccines.includes('zoster'));
  const isSeason = month >= 9 && daysBetween(person.birthDate, day) > 190;
  return [
    ...(isSeason && !hadThisSeason ? (['influenza'] as const) : []),
    ...(ageYears(person, day) >= 50 && !hadZoster ? (['zoster'] as const) : []),
  ];
}
