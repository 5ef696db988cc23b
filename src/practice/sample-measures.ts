// What was measured in a visit: vital signs, and laboratory results grouped by a report.
import type {
  CodeableConcept,
  DiagnosticReport,
  Observation,
  ObservationReferenceRange,
  Quantity,
  Reference,
} from 'fhir/r4.js';
import { type Analyte, analytes, growth, type PanelKey, type ProblemKey, panels, systems } from './sample-data.ts';
import { addDays, ageMonths, daysBetween, instant } from './sample-days.ts';
import { laboratory, providerReference } from './sample-office.ts';
import { type Person, patientReference } from './sample-people.ts';
import { at } from './sample-random.ts';
import type { Visit } from './sample-visits.ts';
import { coding, concept, quantity, refer, rounded, sampleMeta, type World } from './sample-world.ts';

/** Where a patient's values lie for life, so that one visit's values fit the next. */
export interface Build {
  /** Adult height, and the adult weight at the start of the charts. */
  heightCm: number;
  weightKg: number;
  /** Growth in relation to the middle of the same age: 0.9 to 1.1. */
  growthFactor: number;
  systolic: number;
}

export function createBuild({ random }: World, person: Person): Build {
  const isFemale = person.patient.gender === 'female';
  const isHeavy = person.problems.some(({ key }) => key === 'diabetes');
  return {
    heightCm: rounded(random.around(isFemale ? 163 : 176, 6), 0),
    weightKg: rounded(random.around(isFemale ? 68 : 80, 8) + (isHeavy ? 14 : 0), 1),
    growthFactor: random.around(1, 0.03),
    systolic: rounded(random.around(118, 4), 0),
  };
}

interface Measuring {
  person: Person;
  visit: Visit;
  encounter: Reference;
}

/** Vital signs of a visit in the office; none by video. */
export function vitalSigns(
  world: World,
  { person, visit, encounter, build }: Measuring & { build: Build },
): Observation[] {
  if (visit.kind === 'telehealth') return [];
  const values = vitalValues(world, { person, visit, build });
  const base = { person, visit, encounter };
  const found: Observation[] = [];
  if (values.systolic !== undefined && values.diastolic !== undefined) {
    found.push(bloodPressure(world, { ...base, systolic: values.systolic, diastolic: values.diastolic }));
  }
  for (const sign of signs) {
    const value = values[sign.key];
    if (value !== undefined) found.push(vitalSign(world, { ...base, sign, value }));
  }
  return found;
}

type SignKey = 'pulse' | 'temperature' | 'height' | 'weight' | 'bmi';

interface Sign {
  key: SignKey;
  loinc: string;
  display: string;
  unit: string;
  ucum: string;
  digits: number;
}

const signs: readonly Sign[] = [
  { key: 'pulse', loinc: '8867-4', display: 'Heart rate', unit: 'beats/min', ucum: '/min', digits: 0 },
  { key: 'temperature', loinc: '8310-5', display: 'Body temperature', unit: '°C', ucum: 'Cel', digits: 1 },
  { key: 'height', loinc: '8302-2', display: 'Body height', unit: 'cm', ucum: 'cm', digits: 1 },
  { key: 'weight', loinc: '29463-7', display: 'Body weight', unit: 'kg', ucum: 'kg', digits: 1 },
  { key: 'bmi', loinc: '39156-5', display: 'Body mass index', unit: 'kg/m2', ucum: 'kg/m2', digits: 1 },
];

type VitalValues = Partial<Record<SignKey | 'systolic' | 'diastolic', number>>;

function vitalValues(
  world: World,
  { person, visit, build }: { person: Person; visit: Visit; build: Build },
): VitalValues {
  const months = ageMonths(person.birthDate, visit.time.day);
  const isChild = person.stage === 'child';
  const values = isChild ? childValues(world, { months, build }) : adultValues(world, { person, visit, build });
  if (visit.kind !== 'illness') return values;
  const { height: _height, bmi: _bmi, weight, ...atIllness } = values;
  // Doses for children go by weight, so that is taken even when they come with a cold.
  const dosing = isChild && weight !== undefined ? { weight } : {};
  return { ...atIllness, ...dosing, temperature: world.random.around(37.6, 0.5) };
}

function childValues({ random }: World, { months, build }: { months: number; build: Build }): VitalValues {
  const middle = growthAt(months);
  const height = rounded(middle.heightCm * build.growthFactor, 1);
  const weight = rounded(middle.weightKg * build.growthFactor ** 2 * random.around(1, 0.015), 1);
  return {
    ...(months >= 36
      ? { systolic: middle.systolic + random.between(-6, 6), diastolic: middle.diastolic + random.between(-4, 4) }
      : {}),
    pulse: random.around(middle.pulse, 5),
    height,
    weight,
    ...(months >= 24 ? { bmi: bodyMassIndex({ height, weight }) } : {}),
  };
}

/** The row of the growth table for an age, on the straight line between the rows around it. */
function growthAt(months: number): {
  heightCm: number;
  weightKg: number;
  pulse: number;
  systolic: number;
  diastolic: number;
} {
  const upper = Math.max(
    1,
    growth.findIndex((row) => row.months > months),
  );
  const [from, to] = [at(growth, upper - 1), at(growth, upper)];
  const part = (months - from.months) / (to.months - from.months);
  const between = (low: number, high: number) => low + (high - low) * part;
  return {
    heightCm: between(from.heightCm, to.heightCm),
    weightKg: between(from.weightKg, to.weightKg),
    pulse: between(from.pulse, to.pulse),
    systolic: between(from.systolic, to.systolic),
    diastolic: between(from.diastolic, to.diastolic),
  };
}

function adultValues(
  world: World,
  { person, visit, build }: { person: Person; visit: Visit; build: Build },
): VitalValues {
  const { random } = world;
  const hasPressure = hasProblem(person, 'hypertension');
  const systolic = build.systolic + (hasPressure ? 36 - 22 * treatedPart(world, visit) : 0) + random.between(-5, 5);
  const weight = rounded(build.weightKg + random.around(0, 0.9), 1);
  const isYearly = visit.kind === 'wellness' || visit.kind === 'senior-wellness';
  return {
    systolic,
    diastolic: systolic * 0.63 + random.between(-2, 4),
    pulse: random.around(72, 5),
    weight,
    ...(isYearly ? { height: build.heightCm, bmi: bodyMassIndex({ height: build.heightCm, weight }) } : {}),
  };
}

function bodyMassIndex({ height, weight }: { height: number; weight: number }): number {
  return weight / (height / 100) ** 2;
}

function hasProblem(person: Person, key: ProblemKey): boolean {
  return person.problems.some((problem) => problem.key === key);
}

/** How far treatment has got since the charts began: 0 to 1, reached after a year and a half. */
function treatedPart({ since }: World, { time }: Visit): number {
  return Math.min(1, daysBetween(since, time.day) / 540);
}

const vitalCategory: CodeableConcept = {
  coding: [coding('http://terminology.hl7.org/CodeSystem/observation-category', 'vital-signs', 'Vital Signs')],
};

function vitalBase(world: World, { person, visit, encounter }: Measuring) {
  return {
    resourceType: 'Observation',
    id: world.nextId('Observation'),
    meta: sampleMeta,
    status: 'final',
    category: [vitalCategory],
    subject: patientReference(person),
    encounter,
    effectiveDateTime: instant(visit.time.day, visit.time.minute + 5),
    performer: [providerReference(visit.time.provider)],
  } as const;
}

function vitalSign(
  world: World,
  { sign, value, ...measuring }: Measuring & { sign: Sign; value: number },
): Observation {
  const base = vitalBase(world, measuring);
  return {
    ...base,
    category: [...base.category],
    performer: [...base.performer],
    code: concept(systems.loinc, sign.loinc, sign.display),
    valueQuantity: quantity({ value: rounded(value, sign.digits), unit: sign.unit, ucum: sign.ucum }),
  };
}

function bloodPressure(
  world: World,
  { systolic, diastolic, ...measuring }: Measuring & { systolic: number; diastolic: number },
): Observation {
  const base = vitalBase(world, measuring);
  const isAdult = ageMonths(measuring.person.birthDate, measuring.visit.time.day) >= 216;
  const component = ({
    loinc,
    display,
    value,
    high,
  }: {
    loinc: string;
    display: string;
    value: number;
    high: number;
  }) => ({
    code: concept(systems.loinc, loinc, display),
    valueQuantity: quantity({ value, unit: 'mmHg', ucum: 'mm[Hg]' }),
    ...(isAdult ? { interpretation: [interpretation(value > high ? 'H' : 'N')] } : {}),
  });
  return {
    ...base,
    category: [...base.category],
    performer: [...base.performer],
    code: concept(systems.loinc, '85354-9', 'Blood pressure panel'),
    component: [
      component({ loinc: '8480-6', display: 'Systolic blood pressure', value: rounded(systolic, 0), high: 139 }),
      component({ loinc: '8462-4', display: 'Diastolic blood pressure', value: rounded(diastolic, 0), high: 89 }),
    ],
  };
}

const interpretations = { N: 'Normal', H: 'High', L: 'Low' } as const;
type InterpretationCode = keyof typeof interpretations;

function interpretation(code: InterpretationCode): CodeableConcept {
  return concept('http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation', code, interpretations[code]);
}

export interface LabResult {
  report: DiagnosticReport;
  results: Observation[];
  /** True when any result is outside its range. */
  isAbnormal: boolean;
}

/** One panel: blood is taken in the visit, the laboratory answers on the next morning. */
export function labResult(world: World, { panel, ...measuring }: Measuring & { panel: PanelKey }): LabResult {
  const { person, visit, encounter } = measuring;
  const { loinc, display } = panels[panel];
  const issued = instant(addDays(visit.time.day, 1), 430);
  const keys = panels[panel].analytes;
  const results = keys.map((key) => labObservation(world, { analyte: analytes[key], issued, ...measuring }));
  const abnormal = results.filter((result) => result.interpretation?.[0]?.coding?.[0]?.code !== 'N');
  const id = world.nextId('DiagnosticReport');
  const report: DiagnosticReport = {
    resourceType: 'DiagnosticReport',
    id,
    meta: sampleMeta,
    identifier: [{ system: systems.accession, value: `A${id.slice(-4)}` }],
    status: 'final',
    category: [concept('http://terminology.hl7.org/CodeSystem/v2-0074', 'LAB', 'Laboratory')],
    code: concept(systems.loinc, loinc, display),
    subject: patientReference(person),
    encounter,
    effectiveDateTime: instant(visit.time.day, visit.time.minute + 20),
    issued,
    performer: [laboratory],
    resultsInterpreter: [providerReference(visit.time.provider)],
    result: results.map((result) => refer(`Observation/${result.id}`, result.code.text)),
    conclusion:
      abnormal.length === 0
        ? 'All values are within range.'
        : `Out of range: ${abnormal.map(({ code }) => code.text).join(', ')}.`,
  };
  return { report, results, isAbnormal: abnormal.length > 0 };
}

function labObservation(
  world: World,
  { analyte, issued, person, visit, encounter }: Measuring & { analyte: Analyte; issued: string },
): Observation {
  const value = labValue(world, { analyte, person, visit });
  return {
    resourceType: 'Observation',
    id: world.nextId('Observation'),
    meta: sampleMeta,
    status: 'final',
    category: [
      { coding: [coding('http://terminology.hl7.org/CodeSystem/observation-category', 'laboratory', 'Laboratory')] },
    ],
    code: concept(systems.loinc, analyte.loinc, analyte.display),
    subject: patientReference(person),
    encounter,
    effectiveDateTime: instant(visit.time.day, visit.time.minute + 20),
    issued,
    performer: [laboratory],
    valueQuantity: quantity({ value, unit: analyte.unit, ucum: analyte.ucum }),
    interpretation: [interpretation(interpret(analyte, value))],
    referenceRange: [referenceRange(analyte)],
  };
}

function labValue(
  world: World,
  { analyte, person, visit }: { analyte: Analyte; person: Person; visit: Visit },
): number {
  const shift = person.problems.map(({ key }) => analyte.with?.[key]).find((found) => found !== undefined);
  const mean = shift ? shift.before + (shift.after - shift.before) * treatedPart(world, visit) : analyte.mean;
  return rounded(world.random.around(mean, analyte.spread), analyte.digits);
}

function interpret({ low, high }: Analyte, value: number): InterpretationCode {
  if (high !== undefined && value > high) return 'H';
  return low !== undefined && value < low ? 'L' : 'N';
}

function referenceRange({ low, high, unit, ucum }: Analyte): ObservationReferenceRange {
  const bound = (value: number): Quantity => quantity({ value, unit, ucum });
  return { ...(low === undefined ? {} : { low: bound(low) }), ...(high === undefined ? {} : { high: bound(high) }) };
}
