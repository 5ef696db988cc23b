// A small made-up practice for trying careloom out: two doctors, a nurse practitioner, forty patients and three years of
// charts, appointments and claims. The same seed and day give the same resources, wherever and whenever it runs.
import type { FhirResource } from 'fhir/r4.js';
import { comingDays } from './sample-calendar.ts';
import { chartResources } from './sample-chart.ts';
import { addMonths } from './sample-days.ts';
import { officeResources } from './sample-office.ts';
import { createPeople, personResources } from './sample-people.ts';
import { seededRandom } from './sample-random.ts';
import { createWorklist, worklistResources } from './sample-worklist.ts';
import { createWorld } from './sample-world.ts';

/** Charts reach back so far. */
const chartMonths = 36;

/** Slots are on offer for so many days, today included: two working weeks whatever the weekday. */
const slotDays = 14;

/**
 * Resources with ids such as `patient-001`, tagged `urn:careloom:tag|sample`, in an order in which each reference points
 * to a resource that came before. `today` is YYYY-MM-DD: charts end the day before it, booked appointments start on it.
 */
export function* samplePractice({ seed, today }: { seed: number; today: string }): Generator<FhirResource> {
  const world = createWorld({ random: seededRandom(seed), today, since: addMonths(today, -chartMonths) });
  yield* officeResources({ today, slotDays });
  const people = createPeople(world);
  for (const person of people) yield* personResources(person);
  const worklist = createWorklist();
  for (const person of people) yield* chartResources(world, { person, worklist });
  yield* comingDays(world, { people, slotDays });
  yield* worklistResources(world, { worklist, people });
}
