// What is waiting for somebody at the sample clinic: tasks about results, refills, missed visits and denied claims, and
// messages from patients.
import type {
  Appointment,
  ClaimResponse,
  Communication,
  DiagnosticReport,
  FhirResource,
  MedicationRequest,
  Reference,
  Task,
} from 'fhir/r4.js';
import { messages, systems } from './sample-data.ts';
import { addDays, earlierDay, instant } from './sample-days.ts';
import { clinic, providerReference } from './sample-office.ts';
import { type Person, patientReference } from './sample-people.ts';
import { at } from './sample-random.ts';
import { concept, refer, sampleMeta, type World } from './sample-world.ts';

/** Something of one patient that may need work, and the day from which on it does. */
interface Matter {
  person: Person;
  day: string;
}

/** Filled while the charts are made. */
export interface Worklist {
  reports: (Matter & { report: DiagnosticReport })[];
  prescriptions: (Matter & { request: MedicationRequest })[];
  noshows: (Matter & { appointment: Appointment })[];
  denials: (Matter & { answer: ClaimResponse })[];
}

export function createWorklist(): Worklist {
  return { reports: [], prescriptions: [], noshows: [], denials: [] };
}

/** Tasks and messages about the newest matters; of each kind the oldest of these is already done. */
export function* worklistResources(
  world: World,
  { worklist, people }: { worklist: Worklist; people: readonly Person[] },
): Generator<FhirResource> {
  for (const { report, ...matter } of newest(worklist.reports, 6)) {
    yield task(world, {
      ...matter,
      code: 'result-review',
      title: 'Look at a result',
      focus: refer(`DiagnosticReport/${report.id}`, report.code.text),
    });
  }
  for (const { request, ...matter } of newest(worklist.prescriptions, 4)) {
    const focus = refer(`MedicationRequest/${request.id}`, request.medicationCodeableConcept?.text);
    yield task(world, {
      ...matter,
      code: 'refill-review',
      title: 'Answer a refill request',
      focus,
      requester: patientReference(matter.person),
    });
  }
  for (const { appointment, ...matter } of newest(worklist.noshows, 2)) {
    yield task(world, {
      ...matter,
      code: 'noshow-review',
      title: 'Call about a missed visit',
      focus: refer(`Appointment/${appointment.id}`),
    });
  }
  for (const { answer, ...matter } of newest(worklist.denials, 4)) {
    yield task(world, {
      ...matter,
      code: 'denial-work',
      title: 'Answer a denied claim',
      focus: refer(`ClaimResponse/${answer.id}`),
      owner: clinic,
    });
  }
  yield* messageThreads(world, people);
}

/** At most `count`, newest first; the last of them counts as done. */
function newest<T extends Matter>(matters: readonly T[], count: number): (T & { isDone: boolean })[] {
  const chosen = matters.toSorted((a, b) => (a.day > b.day ? -1 : a.day < b.day ? 1 : 0)).slice(0, count);
  return chosen.map((matter, index) => ({ ...matter, isDone: index > 0 && index === chosen.length - 1 }));
}

interface TaskWish extends Matter {
  code: string;
  title: string;
  focus: Reference;
  isDone: boolean;
  requester?: Reference;
  owner?: Reference;
}

function task(world: World, { person, day, code, title, focus, isDone, requester, owner }: TaskWish): Task {
  const authored = earlierDay(addDays(day, 1), world.today);
  const modified = isDone && authored < world.today ? addDays(authored, 1) : authored;
  return {
    resourceType: 'Task',
    id: world.nextId('Task'),
    meta: sampleMeta,
    status: isDone ? 'completed' : 'requested',
    intent: 'order',
    priority: code === 'result-review' ? 'urgent' : 'routine',
    code: concept(systems.task, code, title),
    description: title,
    focus,
    for: patientReference(person),
    authoredOn: instant(authored, 440),
    lastModified: instant(modified, 455),
    requester: requester ?? clinic,
    owner: owner ?? providerReference(person.provider),
    restriction: { period: { start: authored, end: addDays(authored, 7) } },
  };
}

/** Each message from another adult; unanswered ones also have a task. */
function* messageThreads(world: World, people: readonly Person[]): Generator<FhirResource> {
  const { random, today } = world;
  const writers = random.shuffled(people.filter(({ stage }) => stage === 'adult'));
  for (const [index, { question, answer }] of messages.entries()) {
    const person = at(writers, index);
    const day = addDays(today, -random.between(1, 9));
    const asked = communication(world, { person, day, text: question, isAnswer: false });
    yield asked;
    if (answer === undefined) {
      const focus = refer(`Communication/${asked.id}`);
      yield task(world, {
        person,
        day,
        code: 'message-answer',
        title: 'Answer a message',
        focus,
        isDone: false,
        requester: patientReference(person),
      });
    } else {
      yield communication(world, {
        person,
        day,
        text: answer,
        isAnswer: true,
        inResponseTo: refer(`Communication/${asked.id}`),
      });
    }
  }
}

function communication(
  world: World,
  {
    person,
    day,
    text,
    isAnswer,
    inResponseTo,
  }: { person: Person; day: string; text: string; isAnswer: boolean; inResponseTo?: Reference },
): Communication {
  const [patient, provider] = [patientReference(person), providerReference(person.provider)];
  const minute = isAnswer ? world.random.between(840, 960) : world.random.between(420, 780);
  return {
    resourceType: 'Communication',
    id: world.nextId('Communication'),
    meta: sampleMeta,
    ...(inResponseTo ? { inResponseTo: [inResponseTo] } : {}),
    status: 'completed',
    category: [concept('http://terminology.hl7.org/CodeSystem/communication-category', 'notification', 'Notification')],
    subject: patient,
    sent: instant(day, minute),
    received: instant(day, minute + 1),
    sender: isAnswer ? provider : patient,
    recipient: [isAnswer ? patient : provider],
    payload: [{ contentString: text }],
  };
}
