// The requests that are measured, made from the seed before anything is sent.
import { type RequestParts, requestBytes } from './client.ts';
import {
  dayOf,
  families,
  idAt,
  labs,
  loinc,
  looseObservation,
  OBSERVATIONS_PER_PATIENT,
  observationId,
  patientId,
  Random,
  someDay,
  transactionBundle,
} from './data.ts';

export const CONNECTIONS = 16;
const VARIANTS = 2_000;
const BUNDLES = 48;

/** What a request is made from: `patients` are stored, `middle` is an instant by which half of them were. */
export interface Stored {
  patients: number;
  middle: string;
}

export type Make = (random: Random, stored: Stored) => RequestParts;

export const get = (query: string): RequestParts => ({ method: 'GET', url: `/fhir/${query}` });
const somePatient = (random: Random, { patients }: Stored): string => patientId(random.below(patients));
const someObservation = (random: Random, { patients }: Stored): string =>
  observationId(random.below(patients), random.below(OBSERVATIONS_PER_PATIENT));
export const someLab = (random: Random): string => encodeURIComponent(`${loinc}|${random.pick(labs)[0]}`);

/** Searches by the name that the table shows. */
export const searches: Readonly<Record<string, Make>> = {
  'Patient?name=': (random) => get(`Patient?name=${random.pick(families).slice(0, 6).toLowerCase()}`),
  'Observation?patient&category&_sort=-date': (random, stored) =>
    get(`Observation?patient=${somePatient(random, stored)}&category=laboratory&_sort=-date&_count=50`),
  'Observation?code&date=ge': (random) => get(`Observation?code=${someLab(random)}&date=ge${dayOf(someDay(random))}`),
  'Encounter?patient&_include=subject': (random, stored) =>
    get(`Encounter?patient=${somePatient(random, stored)}&_include=Encounter:subject`),
  'Patient?_has:Observation:patient:code&birthdate=ge': (random) =>
    get(`Patient?_has:Observation:patient:code=${someLab(random)}&birthdate=ge${1935 + random.below(80)}`),
  'MedicationRequest?patient&_revinclude': (random, stored) =>
    get(`MedicationRequest?patient=${somePatient(random, stored)}&_revinclude=MedicationDispense:prescription`),
  'Observation?subject:Patient.family&code': (random) =>
    get(`Observation?subject:Patient.family=${random.pick(families).toLowerCase()}&code=${someLab(random)}`),
  'Claim?patient&_sort=-created': (random, stored) =>
    get(`Claim?patient=${somePatient(random, stored)}&_sort=-created`),
  'Patient?gender&_sort=family': (random) =>
    get(`Patient?gender=${random.pick(['male', 'female'])}&_sort=family&_count=20`),
  'Observation?_lastUpdated=ge': (_, stored) => get(`Observation?_lastUpdated=ge${encodeURIComponent(stored.middle)}`),
  'Observation?_lastUpdated=ge&_sort=_lastUpdated': (_, stored) =>
    get(`Observation?_lastUpdated=ge${encodeURIComponent(stored.middle)}&_sort=_lastUpdated`),
  'Observation/_history': () => get('Observation/_history?_count=50'),
  'Observation/[id]/_history': (random, stored) => get(`Observation/${someObservation(random, stored)}/_history`),
  'POST Observation/_search patient&code': (random, stored) => ({
    method: 'POST',
    url: '/fhir/Observation/_search',
    body: `patient=${somePatient(random, stored)}&code=${someLab(random)}`,
    contentType: 'application/x-www-form-urlencoded',
  }),
};

/** Gives the bytes of the next request for a connection. */
export type Requests = (lane: number) => Buffer;

/** Variants of a request, in turn. */
export function variantsOf(make: Make, stored: Stored): Requests {
  const random = new Random(7);
  return inTurn(Array.from({ length: VARIANTS }, () => requestBytes(make(random, stored))));
}

export const read: Make = (random, stored) => get(`Observation/${someObservation(random, stored)}`);

export const create: Make = (random, { patients }) => {
  const patient = random.below(patients);
  const body = JSON.stringify(looseObservation(patient, `c${random.below(1e9)}`, random));
  return { method: 'POST', url: '/fhir/Observation', body };
};

export const reads = (stored: Stored): Requests => variantsOf(read, stored);

export const creates = (stored: Stored): Requests => variantsOf(create, stored);

/** Each connection has Observations of its own, so that no two updates of one overlap. */
export function updates({ patients }: Stored): Requests {
  const random = new Random(8);
  const lanes = Array.from({ length: CONNECTIONS }, (_, lane) => {
    const mine = Array.from({ length: VARIANTS / CONNECTIONS }, (_, at) => {
      const patient = (lane + at * CONNECTIONS) % (patients - (patients % CONNECTIONS));
      const id = observationId(patient, Math.floor((at * CONNECTIONS) / patients) % OBSERVATIONS_PER_PATIENT);
      const body = JSON.stringify({ ...looseObservation(patient, `u${random.below(1e9)}`, random), id });
      return requestBytes({ method: 'PUT', url: `/fhir/Observation/${id}`, body });
    });
    return inTurn(mine);
  });
  return (lane) => (lanes[lane] as Requests)(lane);
}

/** Transactions of 100 creates, of patients that are not among the stored. */
export function transactions(): Requests {
  const bundles = Array.from({ length: BUNDLES }, (_, at) => JSON.stringify(transactionBundle(1_000_000 + at)));
  return inTurn(bundles.map((body) => requestBytes({ method: 'POST', url: '/fhir', body })));
}

/** The read of a resource that was stored when half of them were. */
export const middleRead = (patients: number): Buffer =>
  requestBytes(get(`Patient/${idAt(Math.floor(patients / 2), 0)}`));

export const constant = (): Requests => inTurn([requestBytes({ method: 'GET', url: '/constant' })]);

function inTurn(all: readonly Buffer[]): Requests {
  let at = 0;
  return () => all[at++ % all.length] as Buffer;
}
