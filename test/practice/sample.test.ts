// The sample practice: the same for the same seed, whole in its references, plausible in its dates, money and numbers,
// and valid R4.
import type { Appointment, Claim, ClaimResponse, FhirResource, Patient } from 'fhir/r4.js';
import t from 'tap';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { samplePractice } from '../../src/practice/sample.ts';
import { structureIssues } from '../../src/validation/structure.ts';

const today = '2026-03-16';
const days = [today, '2024-02-29', '2025-08-31', '2026-01-03'];
const seeds = [1, 7, 42];
const runs = seeds.flatMap((seed) =>
  days.map((day) => ({ title: `seed ${seed}, ${day}`, day, all: [...samplePractice({ seed, today: day })] })),
);
const all = [...samplePractice({ seed: 42, today })];

function ofType<T extends FhirResource>(resources: readonly FhirResource[], type: T['resourceType']): T[] {
  return resources.filter((resource): resource is T => resource.resourceType === type);
}

/** Every JSON object inside a value, itself included. */
function* objects(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, unknown>;
  for (const member of Object.values(value)) yield* objects(member);
}

function references(resource: FhirResource): string[] {
  return [...objects(resource)].flatMap(({ reference }) => (typeof reference === 'string' ? [reference] : []));
}

function keyOf(resource: FhirResource): string {
  return `${resource.resourceType}/${resource.id}`;
}

function cents(value: number | undefined): number {
  return Math.round((value ?? Number.NaN) * 100);
}

/** Luhn's sum over 80840 and the number: a multiple of ten when the check digit is right. */
function isNpi(value: string): boolean {
  const sum = [...`80840${value}`].reverse().reduce((total, digit, index) => {
    const doubled = Number(digit) * (index % 2 === 1 ? 2 : 1);
    return total + Math.floor(doubled / 10) + (doubled % 10);
  }, 0);
  return /^[12]\d{9}$/.test(value) && sum % 10 === 0;
}

/** The day on which something about a patient happened, if the resource says so. */
function dayOf(resource: FhirResource): string | undefined {
  switch (resource.resourceType) {
    case 'Observation':
    case 'DiagnosticReport':
      return resource.effectiveDateTime?.slice(0, 10);
    case 'Encounter':
      return resource.period?.start?.slice(0, 10);
    case 'Immunization':
      return resource.occurrenceDateTime?.slice(0, 10);
    case 'MedicationRequest':
      return resource.authoredOn?.slice(0, 10);
    case 'Condition':
      return resource.onsetDateTime?.slice(0, 10);
    case 'Procedure':
      return resource.performedPeriod?.start?.slice(0, 10);
    case 'AllergyIntolerance':
      return resource.recordedDate;
    case 'Appointment':
      return resource.created?.slice(0, 10);
    case 'Coverage':
      return resource.period?.start;
    case 'Claim':
      return resource.billablePeriod?.start;
    default:
      return undefined;
  }
}

t.test('the same seed and day give the same resources, another seed or day others', async (t) => {
  const text = JSON.stringify(all);
  t.equal(JSON.stringify([...samplePractice({ seed: 42, today })]), text);
  t.not(JSON.stringify([...samplePractice({ seed: 43, today })]), text);
  t.not(JSON.stringify([...samplePractice({ seed: 42, today: '2026-03-17' })]), text);
});

t.test('ids are readable, valid and used once; every resource has the tag', async (t) => {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const resource of all) {
    if (seen.has(keyOf(resource))) problems.push(`${keyOf(resource)} twice`);
    seen.add(keyOf(resource));
    if (!/^[a-z][a-z0-9-]{0,63}$/.test(resource.id ?? '')) problems.push(`id ${resource.id}`);
    const [tag] = resource.meta?.tag ?? [];
    if (tag?.system !== 'urn:careloom:tag' || tag.code !== 'sample') problems.push(`${keyOf(resource)} has no tag`);
  }
  t.ok(seen.has('Patient/patient-001') && seen.has('Encounter/encounter-0001'));
  t.same(problems.slice(0, 5), []);
});

t.test('JSON keeps the resources as they are: no undefined, no empty list, no number that is none', async (t) => {
  const problems: string[] = [];
  for (const resource of all) {
    for (const object of objects(resource)) {
      for (const [name, value] of Object.entries(object)) {
        if (value === undefined || value === '' || Number.isNaN(value)) problems.push(`${keyOf(resource)} ${name}`);
        if (Array.isArray(value) && value.length === 0) problems.push(`${keyOf(resource)} ${name} is empty`);
      }
    }
  }
  t.same(problems.slice(0, 5), []);
});

t.test('there is about as much of each type as a small practice has', async (t) => {
  const expected: Record<string, readonly [number, number]> = {
    Organization: [4, 4],
    Location: [4, 4],
    Practitioner: [3, 3],
    PractitionerRole: [3, 3],
    HealthcareService: [1, 1],
    Schedule: [3, 3],
    Slot: [250, 350],
    Patient: [40, 40],
    RelatedPerson: [12, 12],
    Coverage: [30, 55],
    Encounter: [150, 320],
    Appointment: [180, 380],
    Observation: [700, 1500],
    DiagnosticReport: [50, 180],
    Condition: [50, 150],
    AllergyIntolerance: [15, 60],
    MedicationRequest: [60, 250],
    Immunization: [100, 280],
    Procedure: [8, 60],
    Claim: [110, 320],
    ClaimResponse: [90, 300],
    Task: [10, 22],
    Communication: [5, 8],
    DocumentReference: [36, 40],
  };
  for (const { title, all } of runs) {
    const counts = new Map<string, number>();
    for (const { resourceType } of all) counts.set(resourceType, (counts.get(resourceType) ?? 0) + 1);
    t.same([...counts.keys()].sort(), Object.keys(expected).sort(), title);
    for (const [type, [low, high]] of Object.entries(expected)) {
      const count = counts.get(type) ?? 0;
      t.ok(count >= low && count <= high, `${title}: ${count} ${type}`);
    }
    t.ok(all.length > 2000 && all.length < 3500, `${title}: ${all.length} in all`);
  }
});

t.test('a reference points to a resource that came before, and to its own patient', async (t) => {
  const problems: string[] = [];
  for (const { title, all } of runs) {
    const before = new Set<string>();
    for (const resource of all) {
      const found = references(resource);
      for (const reference of found)
        if (!before.has(reference)) problems.push(`${title}: ${keyOf(resource)} → ${reference}`);
      const patients = new Set(found.filter((reference) => reference.startsWith('Patient/')));
      if (patients.size > 1) problems.push(`${title}: ${keyOf(resource)} is about ${[...patients]}`);
      before.add(keyOf(resource));
    }
    t.ok(before.size > 2000, title);
  }
  t.same(problems.slice(0, 5), []);
});

t.test('references stay within one patient: encounter, condition and coverage belong to the subject', async (t) => {
  const problems: string[] = [];
  const patientOf = new Map<string, string>();
  for (const resource of all) {
    const own = references(resource).find((reference) => reference.startsWith('Patient/'));
    if (own) patientOf.set(keyOf(resource), own);
    if (own === undefined || resource.resourceType === 'Slot') continue;
    for (const reference of references(resource)) {
      const other = patientOf.get(reference);
      if (other !== undefined && other !== own)
        problems.push(`${keyOf(resource)} of ${own} → ${reference} of ${other}`);
    }
  }
  t.ok(patientOf.size > 1000);
  t.same(problems.slice(0, 5), []);
});

t.test('NPIs have the right check digit', async (t) => {
  t.ok(isNpi('1234567893'), 'the example of the standard');
  const numbers = all
    .flatMap((resource) => ('identifier' in resource && Array.isArray(resource.identifier) ? resource.identifier : []))
    .filter(({ system }) => system === 'http://hl7.org/fhir/sid/us-npi');
  t.equal(numbers.length, 5);
  for (const { value } of numbers) t.ok(isNpi(value ?? ''), String(value));
  t.equal(new Set(numbers.map(({ value }) => value)).size, 5);
});

t.test('no code comes from a system that needs a licence to be shipped', async (t) => {
  const problems: string[] = [];
  const known = new Set([
    'http://loinc.org',
    'http://www.nlm.nih.gov/research/umls/rxnorm',
    'http://hl7.org/fhir/sid/icd-10-cm',
    'http://hl7.org/fhir/sid/cvx',
    'http://hl7.org/fhir/sid/us-npi',
    'http://unitsofmeasure.org',
    'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets',
    'http://nucc.org/provider-taxonomy',
    'https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set',
    'urn:oid:2.16.840.1.113883.4.4',
    'urn:ietf:bcp:47',
    'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category',
  ]);
  for (const resource of all) {
    for (const { system, code } of objects(resource)) {
      if (typeof system !== 'string' || !system.includes(':')) continue;
      const isOurs = system.startsWith('urn:careloom:') || system.startsWith('http://terminology.hl7.org/CodeSystem/');
      if (!isOurs && !known.has(system)) problems.push(`${keyOf(resource)}: ${system}`);
      // CPT: five digits, or four and a letter; in HCPCS level II the letter comes first.
      if (system.includes('HCPCS')) t.match(code, /^[A-V]\d{4}$/);
    }
  }
  t.same(problems.slice(0, 5), []);
});

t.test('people: all ages, names that need care, one with a single name, guardians for the children', async (t) => {
  const patients = ofType<Patient>(all, 'Patient');
  const births = patients.map(({ birthDate }) => birthDate ?? '').sort();
  t.ok((births[0] ?? '') < '1936', 'somebody is over ninety');
  t.ok((births.at(-1) ?? '') > '2026-02', 'somebody is a few weeks old');
  const families = patients.map(({ name }) => name?.[0]?.family ?? '');
  for (const family of ["O'Neill", 'Núñez-Ortega', 'Nguyễn', 'van der Berg']) t.ok(families.includes(family), family);
  const single = patients.filter(({ name }) => name?.[0]?.given === undefined);
  t.same(
    single.map(({ name }) => name?.[0]?.text),
    ['Suryani'],
  );
  t.equal(new Set(patients.map(({ identifier }) => identifier?.[0]?.value)).size, 40);
  t.equal(new Set(patients.map(({ name }) => name?.[0]?.text)).size, 40);
  for (const { telecom } of patients)
    for (const { value } of telecom ?? []) t.match(value, /@example\.org$|^\+1-\d{3}-555-01\d\d$/);
  const minors = patients.filter(({ birthDate }) => (birthDate ?? '') > '2008-03-16').map(keyOf);
  t.same(
    new Set(
      ofType(all, 'RelatedPerson')
        .flatMap(references)
        .filter((found) => found.startsWith('Patient/')),
    ),
    new Set(minors),
  );
});

t.test(
  'appointments: kept and missed ones lie before today, booked ones on it or after; nobody is booked twice',
  async (t) => {
    const problems: string[] = [];
    for (const { title, day, all } of runs) {
      const taken = new Set<string>();
      const counts: Record<string, number> = {};
      for (const appointment of ofType<Appointment>(all, 'Appointment')) {
        const { status, start = '', end = '', created = '', participant } = appointment;
        counts[status] = (counts[status] ?? 0) + 1;
        const isComing = start.slice(0, 10) >= day;
        if (isComing !== (status === 'booked')) problems.push(`${title}: ${keyOf(appointment)} ${status} ${start}`);
        if (start >= end || created.slice(0, 10) > start.slice(0, 10))
          problems.push(`${title}: ${keyOf(appointment)} order`);
        const practitioner = participant
          .map(({ actor }) => actor?.reference ?? '')
          .find((found) => found.startsWith('Practitioner/'));
        const key = `${practitioner} ${start}`;
        if (taken.has(key)) problems.push(`${title}: ${key} twice`);
        taken.add(key);
      }
      t.ok((counts.booked ?? 0) > 15 && (counts.fulfilled ?? 0) > 100, title);
      t.ok((counts.noshow ?? 0) + (counts.cancelled ?? 0) > 3, title);
    }
    t.same(problems.slice(0, 5), []);
  },
);

t.test('a slot is busy exactly when an appointment has it', async (t) => {
  const busy = ofType(all, 'Slot')
    .filter((slot) => slot.resourceType === 'Slot' && slot.status === 'busy')
    .map(keyOf);
  const used = ofType(all, 'Appointment')
    .flatMap(references)
    .filter((found) => found.startsWith('Slot/'));
  t.same(used.sort(), busy.sort());
});

t.test('a claim: lines and total add up, its coverage is good on the day, its answer repeats its sums', async (t) => {
  const problems: string[] = [];
  for (const { title, all } of runs) {
    const byKey = new Map(all.map((resource) => [keyOf(resource), resource]));
    for (const claim of ofType<Claim>(all, 'Claim')) {
      const items = claim.item ?? [];
      const net = items.reduce((sum, item) => sum + cents(item.net?.value), 0);
      if (net !== cents(claim.total?.value) || net === 0) problems.push(`${title}: ${keyOf(claim)} total`);
      for (const { unitPrice, quantity, net, diagnosisSequence = [] } of items) {
        if (cents(unitPrice?.value) * (quantity?.value ?? 0) !== cents(net?.value))
          problems.push(`${title}: ${keyOf(claim)} line`);
        if (diagnosisSequence.some((sequence) => sequence > (claim.diagnosis?.length ?? 0)))
          problems.push(`${keyOf(claim)} diagnosis`);
        if (diagnosisSequence.length === 0) problems.push(`${title}: ${keyOf(claim)} line without diagnosis`);
      }
      const coverage = byKey.get(claim.insurance[0]?.coverage.reference ?? '');
      const served = claim.billablePeriod?.start ?? '';
      if (coverage?.resourceType !== 'Coverage') problems.push(`${title}: ${keyOf(claim)} coverage`);
      else if ((coverage.period?.start ?? '') > served || (coverage.period?.end ?? '9') < served)
        problems.push(`${title}: ${keyOf(claim)} period`);
    }
    for (const answer of ofType<ClaimResponse>(all, 'ClaimResponse')) {
      const claim = byKey.get(answer.request?.reference ?? '');
      const amount = (kind: string) =>
        cents(answer.total?.find(({ category }) => category.coding?.[0]?.code === kind)?.amount.value);
      if (claim?.resourceType !== 'Claim' || amount('submitted') !== cents(claim.total?.value))
        problems.push(`${title}: ${keyOf(answer)}`);
      if (amount('benefit') + amount('copay') !== amount('eligible'))
        problems.push(`${title}: ${keyOf(answer)} benefit`);
      if (answer.created < (claim?.resourceType === 'Claim' ? claim.created : '9'))
        problems.push(`${title}: ${keyOf(answer)} came too early`);
    }
  }
  t.same(problems.slice(0, 5), []);
});

t.test('periods begin before they end; nothing happens before birth or, of the past, after today', async (t) => {
  const problems: string[] = [];
  for (const { title, day, all } of runs) {
    const births = new Map(ofType<Patient>(all, 'Patient').map((patient) => [keyOf(patient), patient.birthDate ?? '']));
    for (const resource of all) {
      for (const { start, end } of objects(resource)) {
        if (typeof start === 'string' && typeof end === 'string' && start > end)
          problems.push(`${title}: ${keyOf(resource)} ${start} > ${end}`);
      }
      const happened = dayOf(resource);
      if (happened === undefined) continue;
      const patient = references(resource).find((reference) => births.has(reference));
      const birth = births.get(patient ?? '') ?? '9';
      if (happened < birth.slice(0, happened.length))
        problems.push(`${title}: ${keyOf(resource)} ${happened}, born ${birth}`);
      if (happened > day) problems.push(`${title}: ${keyOf(resource)} ${happened} is after ${day}`);
    }
  }
  t.same(problems.slice(0, 5), []);
});

t.test('a chronic problem shows in its laboratory values and medicines', async (t) => {
  const code = (resource: FhirResource, wanted: string) => JSON.stringify(resource).includes(`"code":"${wanted}"`);
  const withDiabetes = new Set(
    all
      .filter((resource) => resource.resourceType === 'Condition' && code(resource, 'E11.9'))
      .flatMap(references)
      .filter((found) => found.startsWith('Patient/')),
  );
  t.ok(withDiabetes.size > 0);
  for (const resource of all) {
    if (resource.resourceType === 'Observation' && code(resource, '4548-4')) {
      t.ok(withDiabetes.has(resource.subject?.reference ?? ''), keyOf(resource));
      t.ok((resource.valueQuantity?.value ?? 0) > 6, keyOf(resource));
    }
    if (resource.resourceType === 'MedicationRequest' && code(resource, '861007'))
      t.ok(withDiabetes.has(resource.subject.reference ?? ''), keyOf(resource));
  }
});

t.test('every resource has the structure that R4 asks for', async (t) => {
  const definitions = loadDefinitions();
  t.not(structureIssues({ resourceType: 'Patient', nmae: [] }, definitions).length, 0, 'a wrong one is found');
  for (const { title, all } of runs) {
    const issues = all.flatMap((resource) =>
      structureIssues(resource, definitions).map((issue) => ({ at: keyOf(resource), ...issue })),
    );
    t.same(issues.slice(0, 5), [], title);
  }
});
