// The clinic itself: organizations, rooms, practitioners with their roles, services and schedules.
import type {
  FhirResource,
  HealthcareService,
  Location,
  Organization,
  Practitioner,
  PractitionerRole,
  Reference,
  Schedule,
} from 'fhir/r4.js';
import { type Payer, type Provider, payers, providers, systems } from './sample-data.ts';
import { addDays } from './sample-days.ts';
import { concept, refer, sampleMeta } from './sample-world.ts';

export const clinic: Reference = refer('Organization/organization-clinic', 'Palo Verde Family Practice');
export const laboratory: Reference = refer('Organization/organization-lab', 'Sonoran Reference Laboratory');
export const clinicSite: Reference = refer('Location/location-clinic', 'Palo Verde Family Practice');

export function payerReference(payer: Payer): Reference {
  return refer(`Organization/${payer.id}`, payer.name);
}

export function providerReference(provider: Provider): Reference {
  return refer(`Practitioner/${provider.id}`, `${provider.given} ${provider.family}, ${provider.degree.code}`);
}

/** Each provider has a room, so that two visits never share one. */
export function roomReference(provider: Provider): Reference {
  const room = providers.indexOf(provider) + 1;
  return refer(`Location/location-room-${room}`, `Room ${room}`);
}

export function scheduleReference(provider: Provider): Reference {
  return refer(`Schedule/schedule-${providers.indexOf(provider) + 1}`);
}

/**
 * The ten digits of a National Provider Identifier: nine digits and the check digit, which is Luhn's over the number
 * with 80840 (health, United States) before it.
 */
export function npi(nineDigits: string): string {
  const sum = [...`80840${nineDigits}`].reverse().reduce((total, digit, index) => {
    const value = index % 2 === 0 ? Number(digit) * 2 : Number(digit);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return `${nineDigits}${(10 - (sum % 10)) % 10}`;
}

/** Everything that is there before the first patient; schedules reach from `today` to the end of `slotDays`. */
export function* officeResources({ today, slotDays }: { today: string; slotDays: number }): Generator<FhirResource> {
  yield clinicOrganization();
  for (const payer of Object.values(payers)) yield payerOrganization(payer);
  yield laboratoryOrganization();
  yield clinicLocation();
  for (const provider of providers) yield room(provider);
  for (const provider of providers) yield practitioner(provider);
  yield officeService();
  for (const provider of providers) yield practitionerRole(provider);
  for (const provider of providers) yield schedule({ provider, from: today, to: addDays(today, slotDays - 1) });
}

const address = {
  use: 'work',
  line: ['410 Palo Verde Drive', 'Suite 3'],
  city: 'Tucson',
  state: 'AZ',
  postalCode: '85701',
  country: 'US',
} as const;

function organizationType(code: string, display: string) {
  return concept('http://terminology.hl7.org/CodeSystem/organization-type', code, display);
}

function clinicOrganization(): Organization {
  return {
    resourceType: 'Organization',
    id: 'organization-clinic',
    meta: sampleMeta,
    identifier: [
      { system: systems.npi, value: npi('100000010') },
      { system: systems.ein, value: '00-1234567' },
    ],
    active: true,
    type: [organizationType('prov', 'Healthcare Provider')],
    name: 'Palo Verde Family Practice',
    telecom: [
      { system: 'phone', value: '+1-520-555-0100', use: 'work' },
      { system: 'fax', value: '+1-520-555-0101', use: 'work' },
      { system: 'email', value: 'desk@example.org', use: 'work' },
    ],
    address: [{ ...address, line: [...address.line] }],
  };
}

function payerOrganization(payer: Payer): Organization {
  return {
    resourceType: 'Organization',
    id: payer.id,
    meta: sampleMeta,
    identifier: [{ system: systems.payerId, value: payer.payerId }],
    active: true,
    type: [organizationType('pay', 'Payer')],
    name: payer.name,
    telecom: [{ system: 'phone', value: '+1-602-555-0110', use: 'work' }],
    address: [{ use: 'work', line: ['PO Box 1200'], city: 'Phoenix', state: 'AZ', postalCode: '85001', country: 'US' }],
  };
}

function laboratoryOrganization(): Organization {
  return {
    resourceType: 'Organization',
    id: 'organization-lab',
    meta: sampleMeta,
    identifier: [{ system: systems.npi, value: npi('100000011') }],
    active: true,
    type: [organizationType('prov', 'Healthcare Provider')],
    name: 'Sonoran Reference Laboratory',
    telecom: [{ system: 'phone', value: '+1-520-555-0120', use: 'work' }],
    address: [
      { use: 'work', line: ['77 Old Mill Road'], city: 'Tucson', state: 'AZ', postalCode: '85705', country: 'US' },
    ],
  };
}

function clinicLocation(): Location {
  return {
    resourceType: 'Location',
    id: 'location-clinic',
    meta: sampleMeta,
    status: 'active',
    name: 'Palo Verde Family Practice',
    mode: 'instance',
    telecom: [{ system: 'phone', value: '+1-520-555-0100', use: 'work' }],
    address: { ...address, line: [...address.line] },
    physicalType: concept('http://terminology.hl7.org/CodeSystem/location-physical-type', 'bu', 'Building'),
    managingOrganization: clinic,
  };
}

function room(provider: Provider): Location {
  const number = providers.indexOf(provider) + 1;
  return {
    resourceType: 'Location',
    id: `location-room-${number}`,
    meta: sampleMeta,
    status: 'active',
    name: `Room ${number}`,
    mode: 'instance',
    physicalType: concept('http://terminology.hl7.org/CodeSystem/location-physical-type', 'ro', 'Room'),
    managingOrganization: clinic,
    partOf: clinicSite,
  };
}

function practitioner(provider: Provider): Practitioner {
  return {
    resourceType: 'Practitioner',
    id: provider.id,
    meta: sampleMeta,
    identifier: [{ system: systems.npi, value: npi(provider.npiDigits) }],
    active: true,
    name: [{ use: 'official', family: provider.family, given: [provider.given], suffix: [provider.degree.code] }],
    telecom: [{ system: 'email', value: `${provider.id}@example.org`, use: 'work' }],
    gender: provider.gender,
    qualification: [
      { code: concept('http://terminology.hl7.org/CodeSystem/v2-0360', provider.degree.code, provider.degree.display) },
    ],
  };
}

function officeService(): HealthcareService {
  return {
    resourceType: 'HealthcareService',
    id: 'healthcare-service-office',
    meta: sampleMeta,
    active: true,
    providedBy: clinic,
    type: [concept(systems.service, 'primary-care', 'Primary care visit')],
    location: [clinicSite],
    name: 'Primary care',
    comment: 'Half an hour in the office or by video.',
    appointmentRequired: true,
    availableTime: [
      { daysOfWeek: ['mon', 'tue', 'wed', 'thu', 'fri'], availableStartTime: '09:00:00', availableEndTime: '12:00:00' },
      { daysOfWeek: ['mon', 'tue', 'wed', 'thu', 'fri'], availableStartTime: '13:00:00', availableEndTime: '16:30:00' },
    ],
  };
}

const daysOfWeek = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;

function practitionerRole(provider: Provider): PractitionerRole {
  return {
    resourceType: 'PractitionerRole',
    id: `practitioner-role-${providers.indexOf(provider) + 1}`,
    meta: sampleMeta,
    active: true,
    practitioner: providerReference(provider),
    organization: clinic,
    code: [
      provider.degree.code === 'NP'
        ? concept('http://terminology.hl7.org/CodeSystem/practitioner-role', 'nurse', 'Nurse')
        : concept('http://terminology.hl7.org/CodeSystem/practitioner-role', 'doctor', 'Doctor'),
    ],
    specialty: [concept(systems.taxonomy, provider.specialty.code, provider.specialty.display)],
    location: [clinicSite],
    healthcareService: [refer('HealthcareService/healthcare-service-office', 'Primary care')],
    telecom: [{ system: 'phone', value: '+1-520-555-0100', use: 'work' }],
    availableTime: [{ daysOfWeek: provider.weekdays.flatMap((day) => daysOfWeek[day] ?? []) }],
  };
}

function schedule({ provider, from, to }: { provider: Provider; from: string; to: string }): Schedule {
  return {
    resourceType: 'Schedule',
    id: `schedule-${providers.indexOf(provider) + 1}`,
    meta: sampleMeta,
    active: true,
    serviceType: [concept(systems.service, 'primary-care', 'Primary care visit')],
    specialty: [concept(systems.taxonomy, provider.specialty.code, provider.specialty.display)],
    actor: [
      providerReference(provider),
      refer(`PractitionerRole/practitioner-role-${providers.indexOf(provider) + 1}`),
      roomReference(provider),
      refer('HealthcareService/healthcare-service-office', 'Primary care'),
    ],
    planningHorizon: { start: from, end: to },
  };
}
