// Appointments of the past, the coming days' slots, and the appointments booked into them.
import type { Appointment, FhirResource, Reference, Slot } from 'fhir/r4.js';
import { providers, systems, type VisitKind, visitKinds } from './sample-data.ts';
import { addDays, instant, laterDay, weekday } from './sample-days.ts';
import { clinicSite, providerReference, roomReference, scheduleReference } from './sample-office.ts';
import { type Person, patientReference } from './sample-people.ts';
import { concept, refer, sampleMeta, startMinutes, type Visiting, visitMinutes, type World } from './sample-world.ts';

type AppointmentStatus = 'booked' | 'fulfilled' | 'noshow' | 'cancelled';

/** `slot` is given for times that are on offer; `madeOn` is the day on which the appointment was made. */
export function appointment(
  world: World,
  {
    person,
    time,
    kind,
    status,
    madeOn,
    slot,
  }: { person: Person; time: Visiting; kind: VisitKind; status: AppointmentStatus; madeOn: string; slot?: Slot },
): Appointment {
  const { appointmentType, display } = visitKinds[kind];
  return {
    resourceType: 'Appointment',
    id: world.nextId('Appointment'),
    meta: sampleMeta,
    status,
    ...(status === 'cancelled'
      ? {
          cancelationReason: concept(
            'http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason',
            'pat',
            'Patient',
          ),
        }
      : {}),
    serviceType: [concept(systems.service, 'primary-care', 'Primary care visit')],
    appointmentType: concept(
      'http://terminology.hl7.org/CodeSystem/v2-0276',
      appointmentType.code,
      appointmentType.display,
    ),
    description: display,
    start: instant(time.day, time.minute),
    end: instant(time.day, time.minute + visitMinutes),
    minutesDuration: visitMinutes,
    ...(slot ? { slot: [refer(`Slot/${slot.id}`)] } : {}),
    created: instant(madeOn, 615),
    participant: [
      {
        actor: patientReference(person),
        required: 'required',
        status: status === 'cancelled' ? 'declined' : 'accepted',
      },
      { actor: providerReference(time.provider), required: 'required', status: 'accepted' },
      { actor: place(time, kind), required: 'required', status: 'accepted' },
    ],
  };
}

/** Where a visit happens: the provider's room, or just the clinic when it is by video. */
export function place(time: Visiting, kind: VisitKind): Reference {
  return kind === 'telehealth' ? clinicSite : roomReference(time.provider);
}

interface Booking {
  person: Person;
  kind: VisitKind;
}

/** Slots of every provider from today for `slotDays` days, each followed by the appointment that took it, if any. */
export function* comingDays(
  world: World,
  { people, slotDays }: { people: readonly Person[]; slotDays: number },
): Generator<FhirResource> {
  const times = comingTimes(world, slotDays);
  const bookings = bookTimes(world, { people, times });
  for (const time of times) {
    const booking = bookings.get(time);
    const status = booking ? 'busy' : world.random.chance(0.04) ? 'busy-unavailable' : 'free';
    const slot = createSlot(world, { time, status });
    yield slot;
    if (booking) {
      const madeOn = laterDay(addDays(world.today, -world.random.between(1, 40)), booking.person.birthDate);
      yield appointment(world, { ...booking, time, status: 'booked', madeOn, slot });
    }
  }
}

function comingTimes({ today }: World, slotDays: number): Visiting[] {
  const days = Array.from({ length: slotDays }, (_, index) => addDays(today, index));
  return days.flatMap((day) =>
    providers
      .filter((provider) => provider.weekdays.includes(weekday(day)))
      .flatMap((provider) => startMinutes.map((minute) => ({ provider, day, minute }))),
  );
}

/** About three in four patients have a coming appointment, with their own provider where that is possible. */
function bookTimes(
  { random }: World,
  { people, times }: { people: readonly Person[]; times: readonly Visiting[] },
): Map<Visiting, Booking> {
  const free = random.shuffled(times);
  const bookings = new Map<Visiting, Booking>();
  for (const person of people.filter(() => random.chance(0.75))) {
    const index = free.findIndex(({ provider }) => provider === person.provider);
    const [time] = index < 0 ? [] : free.splice(index, 1);
    if (time) bookings.set(time, { person, kind: comingKind(person) });
  }
  return bookings;
}

function comingKind(person: Person): VisitKind {
  if (person.stage === 'child') return 'child-checkup';
  return person.problems.length > 0 ? 'follow-up' : 'wellness';
}

function createSlot(world: World, { time, status }: { time: Visiting; status: Slot['status'] }): Slot {
  return {
    resourceType: 'Slot',
    id: world.nextId('Slot'),
    meta: sampleMeta,
    serviceType: [concept(systems.service, 'primary-care', 'Primary care visit')],
    schedule: scheduleReference(time.provider),
    status,
    start: instant(time.day, time.minute),
    end: instant(time.day, time.minute + visitMinutes),
  };
}
