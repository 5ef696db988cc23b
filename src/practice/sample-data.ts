// The tables behind the sample practice: people's names, problems, tests, medicines, vaccines and prices. Display words
// are our own plain words; codes are a handful of LOINC, RxNorm, ICD-10-CM, CVX and HCPCS level II, else local ones.

export const systems = {
  loinc: 'http://loinc.org',
  rxnorm: 'http://www.nlm.nih.gov/research/umls/rxnorm',
  icd10: 'http://hl7.org/fhir/sid/icd-10-cm',
  cvx: 'http://hl7.org/fhir/sid/cvx',
  hcpcs: 'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets',
  taxonomy: 'http://nucc.org/provider-taxonomy',
  placeOfService: 'https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set',
  npi: 'http://hl7.org/fhir/sid/us-npi',
  ein: 'urn:oid:2.16.840.1.113883.4.4',
  mrn: 'urn:careloom:mrn',
  memberId: 'urn:careloom:member-id',
  payerId: 'urn:careloom:payer-id',
  patientControl: 'urn:careloom:patient-control-number',
  payerClaim: 'urn:careloom:payer-claim-number',
  accession: 'urn:careloom:accession',
  service: 'urn:careloom:service',
  procedure: 'urn:careloom:procedure',
  task: 'urn:careloom:task',
} as const;

export interface Provider {
  id: string;
  given: string;
  family: string;
  gender: 'female' | 'male';
  /** The nine digits before the check digit; numbers this low are not given to anybody. */
  npiDigits: string;
  degree: { code: string; display: string };
  specialty: { code: string; display: string };
  weekdays: readonly number[];
  sees: 'all' | 'children' | 'adults';
}

export const providers: readonly Provider[] = [
  {
    id: 'practitioner-1',
    given: 'Marisol',
    family: 'Quintero-Hayes',
    gender: 'female',
    npiDigits: '100000001',
    degree: { code: 'MD', display: 'Doctor of Medicine' },
    specialty: { code: '207Q00000X', display: 'Family medicine' },
    weekdays: [1, 2, 3, 4, 5],
    sees: 'adults',
  },
  {
    id: 'practitioner-2',
    given: 'Tobias',
    family: 'Achterberg',
    gender: 'male',
    npiDigits: '100000002',
    degree: { code: 'MD', display: 'Doctor of Medicine' },
    specialty: { code: '208000000X', display: 'Pediatrics' },
    weekdays: [1, 2, 4, 5],
    sees: 'children',
  },
  {
    id: 'practitioner-3',
    given: 'Renée',
    family: 'Okonkwo',
    gender: 'female',
    npiDigits: '100000003',
    degree: { code: 'NP', display: 'Nurse Practitioner' },
    specialty: { code: '363LF0000X', display: 'Nurse practitioner, family' },
    weekdays: [1, 3, 5],
    sees: 'all',
  },
];

export interface Payer {
  id: string;
  name: string;
  payerId: string;
  /** Coverage.type: a code of v3-ActCode. */
  coverageType: { code: string; display: string };
  plans: readonly { code: string; name: string }[];
  copayCents: number;
  /** What the payer allows of a charge, in percent. */
  allowedPercent: number;
}

export const payers = {
  commercial: {
    id: 'organization-payer-1',
    name: 'Saguaro Mutual Health Plan',
    payerId: 'SMHP1',
    coverageType: { code: 'EHCPOL', display: 'extended healthcare' },
    plans: [
      { code: 'CHOICE', name: 'Saguaro Choice 1500' },
      { code: 'SELECT', name: 'Saguaro Select 3000' },
    ],
    copayCents: 2500,
    allowedPercent: 74,
  },
  public: {
    id: 'organization-payer-2',
    name: 'Desert State Public Health Program',
    payerId: 'DSPH2',
    coverageType: { code: 'PUBLICPOL', display: 'public healthcare' },
    plans: [{ code: 'CORE', name: 'Public Core' }],
    copayCents: 0,
    allowedPercent: 58,
  },
} as const satisfies Record<string, Payer>;

export interface KnownName {
  given: readonly string[];
  family: string;
  gender: 'female' | 'male';
  text?: string;
}

/** Names that software gets wrong; each sample practice has all of them. The last is a person with a single name. */
export const notableNames: readonly KnownName[] = [
  { given: ['José', 'Ángel'], family: 'Núñez-Ortega', gender: 'male' },
  { given: ['Siobhán'], family: "O'Neill", gender: 'female' },
  { given: ['Anne-Marie'], family: 'Lefèvre', gender: 'female' },
  { given: ['Jürgen'], family: 'Weiß', gender: 'male' },
  { given: ["D'Andre"], family: 'St. Claire', gender: 'male' },
  { given: ['Thị Mai'], family: 'Nguyễn', gender: 'female', text: 'Nguyễn Thị Mai' },
  { given: ['Łukasz'], family: 'Wiśniewski', gender: 'male' },
  { given: ['Zoë'], family: 'van der Berg', gender: 'female' },
  { given: [], family: 'Suryani', gender: 'female', text: 'Suryani' },
];

export const givenNames: Readonly<Record<'female' | 'male', readonly string[]>> = {
  female: [
    'Amara',
    'Beatriz',
    'Chloe',
    'Dolores',
    'Elena',
    'Fatima',
    'Grace',
    'Hannah',
    'Imogen',
    'Jasmine',
    'Keiko',
    'Leila',
    'Mabel',
    'Nadia',
    'Odette',
    'Priya',
    'Rosa',
    'Sunita',
    'Tamsin',
    'Valentina',
    'Willa',
    'Ximena',
    'Yara',
    'Zofia',
  ],
  male: [
    'Abel',
    'Bashir',
    'Caleb',
    'Dmitri',
    'Emeka',
    'Felix',
    'Gustavo',
    'Hiroshi',
    'Isaac',
    'Jamal',
    'Kofi',
    'Leonard',
    'Mateo',
    'Nikhil',
    'Owen',
    'Pavel',
    'Quentin',
    'Rafael',
    'Silas',
    'Tomás',
    'Umar',
    'Victor',
    'Walter',
    'Yusuf',
  ],
};

export const familyNames: readonly string[] = [
  'Abernathy',
  'Begay',
  'Castellanos',
  'Delacroix',
  'Eriksen',
  'Farouk',
  'Goldberg',
  'Haddad',
  'Ibarra',
  'Jankowski',
  'Kealoha',
  'Lindqvist',
  'Mbeki',
  'Nakamura',
  'Oyelaran',
  'Peralta',
  'Quispe',
  'Rasmussen',
  'Sandoval',
  'Thibodeaux',
  'Underhill',
  'Venkataraman',
  'Whitehorse',
  'Yamada',
  'Zamora',
  'Brannigan',
  'Cheung',
  'Dunleavy',
  'Esposito',
  'Figueroa',
];

export const streets: readonly string[] = [
  'Mesquite Lane',
  'Palo Verde Drive',
  'Ocotillo Street',
  'Old Mill Road',
  'Calle del Sol',
  'Ironwood Avenue',
  'Agave Court',
  'Rincon View Way',
];

/**
 * Who the patients are: how many of each age. Adults come first, because children are given parents among them; those of
 * about forty are there so that a child of any age finds one.
 */
export const ageGroups: readonly { count: number; fromMonths: number; toMonths: number; stage: 'adult' | 'child' }[] = [
  { count: 1, fromMonths: 91 * 12, toMonths: 96 * 12, stage: 'adult' },
  { count: 7, fromMonths: 66 * 12, toMonths: 88 * 12, stage: 'adult' },
  { count: 4, fromMonths: 38 * 12, toMonths: 43 * 12, stage: 'adult' },
  { count: 16, fromMonths: 19 * 12, toMonths: 64 * 12, stage: 'adult' },
  { count: 3, fromMonths: 13 * 12, toMonths: 17 * 12, stage: 'child' },
  { count: 6, fromMonths: 37, toMonths: 12 * 12, stage: 'child' },
  { count: 2, fromMonths: 4, toMonths: 20, stage: 'child' },
  { count: 1, fromMonths: 0, toMonths: 0, stage: 'child' },
];

export interface Medicine {
  rxnorm: string;
  display: string;
  text: string;
  unit: string;
  perDay: number;
  quantity: number;
  asNeeded?: boolean;
}

export const medicines = {
  metformin: {
    rxnorm: '861007',
    display: 'metformin 500 mg tablet',
    text: 'Take 1 tablet twice a day with meals',
    unit: 'tablet',
    perDay: 2,
    quantity: 180,
  },
  lisinopril: {
    rxnorm: '314076',
    display: 'lisinopril 10 mg tablet',
    text: 'Take 1 tablet once a day',
    unit: 'tablet',
    perDay: 1,
    quantity: 90,
  },
  amlodipine: {
    rxnorm: '197361',
    display: 'amlodipine 5 mg tablet',
    text: 'Take 1 tablet once a day',
    unit: 'tablet',
    perDay: 1,
    quantity: 90,
  },
  atorvastatin: {
    rxnorm: '617310',
    display: 'atorvastatin 20 mg tablet',
    text: 'Take 1 tablet in the evening',
    unit: 'tablet',
    perDay: 1,
    quantity: 90,
  },
  levothyroxine: {
    rxnorm: '892246',
    display: 'levothyroxine 100 mcg tablet',
    text: 'Take 1 tablet in the morning before food',
    unit: 'tablet',
    perDay: 1,
    quantity: 90,
  },
  albuterol: {
    rxnorm: '745679',
    display: 'albuterol 90 mcg inhaler',
    text: 'Breathe in 2 puffs when short of breath, at most every 4 hours',
    unit: 'puff',
    perDay: 4,
    quantity: 1,
    asNeeded: true,
  },
  sertraline: {
    rxnorm: '312941',
    display: 'sertraline 50 mg tablet',
    text: 'Take 1 tablet once a day',
    unit: 'tablet',
    perDay: 1,
    quantity: 90,
  },
  omeprazole: {
    rxnorm: '198051',
    display: 'omeprazole 20 mg capsule',
    text: 'Take 1 capsule before breakfast',
    unit: 'capsule',
    perDay: 1,
    quantity: 30,
  },
  amoxicillin: {
    rxnorm: '308191',
    display: 'amoxicillin 500 mg capsule',
    text: 'Take 1 capsule three times a day for 10 days',
    unit: 'capsule',
    perDay: 3,
    quantity: 30,
  },
  amoxicillinLiquid: {
    rxnorm: '308189',
    display: 'amoxicillin 80 mg/mL liquid',
    text: 'Give 5 mL twice a day for 10 days',
    unit: 'mL',
    perDay: 2,
    quantity: 100,
  },
  loratadine: {
    rxnorm: '311372',
    display: 'loratadine 10 mg tablet',
    text: 'Take 1 tablet once a day',
    unit: 'tablet',
    perDay: 1,
    quantity: 30,
  },
} as const satisfies Record<string, Medicine>;

export type MedicineKey = keyof typeof medicines;

export type ProblemKey =
  | 'diabetes'
  | 'hypertension'
  | 'lipids'
  | 'thyroid'
  | 'asthma'
  | 'depression'
  | 'kidney'
  | 'arthrosis'
  | 'reflux';

export interface Problem {
  key: ProblemKey;
  icd10: string;
  display: string;
  /** How likely at an age of so many years or more. */
  chances: readonly { fromYears: number; chance: number }[];
  medicines: readonly MedicineKey[];
  panels: readonly PanelKey[];
}

export const problems: readonly Problem[] = [
  {
    key: 'diabetes',
    icd10: 'E11.9',
    display: 'Type 2 diabetes',
    chances: [
      { fromYears: 40, chance: 0.3 },
      { fromYears: 65, chance: 0.4 },
    ],
    medicines: ['metformin'],
    panels: ['a1c', 'basic'],
  },
  {
    key: 'hypertension',
    icd10: 'I10',
    display: 'High blood pressure',
    chances: [
      { fromYears: 35, chance: 0.35 },
      { fromYears: 65, chance: 0.75 },
    ],
    medicines: ['lisinopril', 'amlodipine'],
    panels: ['basic'],
  },
  {
    key: 'lipids',
    icd10: 'E78.5',
    display: 'High blood lipids',
    chances: [
      { fromYears: 35, chance: 0.35 },
      { fromYears: 60, chance: 0.5 },
    ],
    medicines: ['atorvastatin'],
    panels: ['lipid'],
  },
  {
    key: 'thyroid',
    icd10: 'E03.9',
    display: 'Underactive thyroid',
    chances: [{ fromYears: 30, chance: 0.12 }],
    medicines: ['levothyroxine'],
    panels: ['thyroid'],
  },
  {
    key: 'asthma',
    icd10: 'J45.909',
    display: 'Asthma, uncomplicated',
    chances: [
      { fromYears: 5, chance: 0.2 },
      { fromYears: 19, chance: 0.12 },
    ],
    medicines: ['albuterol'],
    panels: [],
  },
  {
    key: 'depression',
    icd10: 'F32.A',
    display: 'Depression',
    chances: [{ fromYears: 16, chance: 0.18 }],
    medicines: ['sertraline'],
    panels: [],
  },
  {
    key: 'kidney',
    icd10: 'N18.31',
    display: 'Chronic kidney disease, stage 3a',
    chances: [{ fromYears: 68, chance: 0.3 }],
    medicines: [],
    panels: ['basic'],
  },
  {
    key: 'arthrosis',
    icd10: 'M17.9',
    display: 'Arthrosis of the knee',
    chances: [{ fromYears: 55, chance: 0.3 }],
    medicines: [],
    panels: [],
  },
  {
    key: 'reflux',
    icd10: 'K21.9',
    display: 'Acid reflux',
    chances: [{ fromYears: 30, chance: 0.15 }],
    medicines: ['omeprazole'],
    panels: [],
  },
];

/** Short illnesses: who gets them, how long they last, and what is done. */
export interface Illness {
  icd10: string;
  display: string;
  fromYears: number;
  toYears: number;
  days: number;
  medicine?: MedicineKey;
  procedure?: ProcedureKey;
}

export const illnesses: readonly Illness[] = [
  { icd10: 'J06.9', display: 'Common cold', fromYears: 0, toYears: 120, days: 9 },
  { icd10: 'J02.9', display: 'Sore throat', fromYears: 3, toYears: 60, days: 7 },
  {
    icd10: 'H66.91',
    display: 'Ear infection, right ear',
    fromYears: 1,
    toYears: 11,
    days: 10,
    medicine: 'amoxicillinLiquid',
  },
  { icd10: 'J01.90', display: 'Sinus infection', fromYears: 16, toYears: 120, days: 12, medicine: 'amoxicillin' },
  { icd10: 'M54.50', display: 'Low back pain', fromYears: 18, toYears: 120, days: 28 },
  { icd10: 'J30.9', display: 'Hay fever', fromYears: 12, toYears: 80, days: 45, medicine: 'loratadine' },
  { icd10: 'H61.23', display: 'Ear wax, both ears', fromYears: 20, toYears: 120, days: 1, procedure: 'ear-irrigation' },
  { icd10: 'B07.9', display: 'Wart', fromYears: 6, toYears: 70, days: 20, procedure: 'wart-freezing' },
  {
    icd10: 'L03.115',
    display: 'Skin infection of the right leg',
    fromYears: 20,
    toYears: 120,
    days: 10,
    medicine: 'amoxicillin',
  },
];

export const procedures = {
  'ear-irrigation': { display: 'Ear irrigation', priceCents: 6800 },
  'wart-freezing': { display: 'Freezing of a wart', priceCents: 11500 },
  electrocardiogram: { display: 'Electrocardiogram, 12 leads', priceCents: 5400 },
  spirometry: { display: 'Spirometry', priceCents: 7200 },
  'knee-injection': { display: 'Injection into the knee joint', priceCents: 14800 },
} as const;

export type ProcedureKey = keyof typeof procedures;

/** Procedures that come with a long-term problem. */
export const problemProcedures: Partial<Record<ProblemKey, ProcedureKey>> = {
  hypertension: 'electrocardiogram',
  asthma: 'spirometry',
  arthrosis: 'knee-injection',
};

/** A laboratory test. `with` says where its mean lies before and after treatment in a patient who has the problem. */
export interface Analyte {
  loinc: string;
  display: string;
  unit: string;
  ucum: string;
  digits: number;
  low?: number;
  high?: number;
  mean: number;
  spread: number;
  with?: Partial<Record<ProblemKey, { before: number; after: number }>>;
}

export const analytes = {
  a1c: {
    loinc: '4548-4',
    display: 'Hemoglobin A1c',
    unit: '%',
    ucum: '%',
    digits: 1,
    low: 4,
    high: 5.6,
    mean: 5.2,
    spread: 0.2,
    with: { diabetes: { before: 8.6, after: 6.9 } },
  },
  glucose: {
    loinc: '2345-7',
    display: 'Glucose',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 0,
    low: 70,
    high: 99,
    mean: 88,
    spread: 6,
    with: { diabetes: { before: 192, after: 134 } },
  },
  sodium: {
    loinc: '2951-2',
    display: 'Sodium',
    unit: 'mmol/L',
    ucum: 'mmol/L',
    digits: 0,
    low: 135,
    high: 145,
    mean: 140,
    spread: 2,
  },
  potassium: {
    loinc: '2823-3',
    display: 'Potassium',
    unit: 'mmol/L',
    ucum: 'mmol/L',
    digits: 1,
    low: 3.5,
    high: 5.1,
    mean: 4.2,
    spread: 0.3,
    with: { kidney: { before: 4.8, after: 4.9 } },
  },
  creatinine: {
    loinc: '2160-0',
    display: 'Creatinine',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 2,
    low: 0.6,
    high: 1.2,
    mean: 0.9,
    spread: 0.1,
    with: { kidney: { before: 1.42, after: 1.5 } },
  },
  cholesterol: {
    loinc: '2093-3',
    display: 'Cholesterol',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 0,
    high: 199,
    mean: 176,
    spread: 12,
    with: { lipids: { before: 252, after: 188 } },
  },
  triglycerides: {
    loinc: '2571-8',
    display: 'Triglycerides',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 0,
    high: 149,
    mean: 110,
    spread: 18,
    with: { lipids: { before: 205, after: 150 } },
  },
  hdl: {
    loinc: '2085-9',
    display: 'HDL cholesterol',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 0,
    low: 40,
    mean: 54,
    spread: 5,
    with: { lipids: { before: 42, after: 46 } },
  },
  ldl: {
    loinc: '13457-7',
    display: 'LDL cholesterol, calculated',
    unit: 'mg/dL',
    ucum: 'mg/dL',
    digits: 0,
    high: 129,
    mean: 100,
    spread: 10,
    with: { lipids: { before: 169, after: 104 } },
  },
  tsh: {
    loinc: '3016-3',
    display: 'Thyrotropin (TSH)',
    unit: 'mIU/L',
    ucum: 'm[IU]/L',
    digits: 2,
    low: 0.4,
    high: 4.5,
    mean: 2.1,
    spread: 0.6,
    with: { thyroid: { before: 8.4, after: 2.6 } },
  },
  leukocytes: {
    loinc: '6690-2',
    display: 'Leukocytes',
    unit: '10*3/uL',
    ucum: '10*3/uL',
    digits: 1,
    low: 4,
    high: 11,
    mean: 6.8,
    spread: 1,
  },
  hemoglobin: {
    loinc: '718-7',
    display: 'Hemoglobin',
    unit: 'g/dL',
    ucum: 'g/dL',
    digits: 1,
    low: 12,
    high: 17.5,
    mean: 14.1,
    spread: 0.8,
    with: { kidney: { before: 11.8, after: 11.6 } },
  },
  platelets: {
    loinc: '777-3',
    display: 'Platelets',
    unit: '10*3/uL',
    ucum: '10*3/uL',
    digits: 0,
    low: 150,
    high: 400,
    mean: 255,
    spread: 35,
  },
} as const satisfies Record<string, Analyte>;

export type AnalyteKey = keyof typeof analytes;

export const panels = {
  a1c: { loinc: '4548-4', display: 'Hemoglobin A1c', analytes: ['a1c'] },
  basic: {
    loinc: '51990-0',
    display: 'Basic metabolic panel',
    analytes: ['glucose', 'sodium', 'potassium', 'creatinine'],
  },
  lipid: { loinc: '24331-1', display: 'Lipid panel', analytes: ['cholesterol', 'triglycerides', 'hdl', 'ldl'] },
  thyroid: { loinc: '3016-3', display: 'Thyrotropin (TSH)', analytes: ['tsh'] },
  blood: { loinc: '58410-2', display: 'Complete blood count', analytes: ['leukocytes', 'hemoglobin', 'platelets'] },
} as const satisfies Record<string, { loinc: string; display: string; analytes: readonly AnalyteKey[] }>;

export type PanelKey = keyof typeof panels;

export const vaccines = {
  hepB: { cvx: '08', display: 'Hepatitis B vaccine, child' },
  rota: { cvx: '116', display: 'Rotavirus vaccine, pentavalent' },
  dtap: { cvx: '20', display: 'Diphtheria, tetanus, pertussis vaccine (DTaP)' },
  hib: { cvx: '49', display: 'Haemophilus influenzae b vaccine' },
  pneumococcal: { cvx: '133', display: 'Pneumococcal conjugate vaccine, 13-valent' },
  polio: { cvx: '10', display: 'Polio vaccine, inactivated' },
  mmr: { cvx: '03', display: 'Measles, mumps, rubella vaccine' },
  varicella: { cvx: '21', display: 'Chickenpox vaccine' },
  tdap: { cvx: '115', display: 'Tetanus, diphtheria, pertussis vaccine (Tdap)' },
  hpv: { cvx: '165', display: 'HPV vaccine, 9-valent' },
  influenza: { cvx: '150', display: 'Influenza vaccine, injectable, quadrivalent' },
  zoster: { cvx: '187', display: 'Shingles vaccine, recombinant' },
} as const;

export type VaccineKey = keyof typeof vaccines;

/** Check-ups of children by age in months, each with the vaccines that are due then. */
export const childCheckups: readonly { months: number; vaccines: readonly VaccineKey[] }[] = [
  { months: 0, vaccines: ['hepB'] },
  { months: 2, vaccines: ['rota', 'dtap', 'hib', 'polio'] },
  { months: 4, vaccines: ['rota', 'dtap', 'hib', 'polio'] },
  { months: 6, vaccines: ['dtap', 'pneumococcal', 'hepB'] },
  { months: 9, vaccines: [] },
  { months: 12, vaccines: ['mmr', 'varicella', 'pneumococcal'] },
  { months: 18, vaccines: ['dtap'] },
  { months: 24, vaccines: [] },
  ...[36, 60, 72, 84, 96, 108, 120].map((months) => ({ months, vaccines: [] })),
  { months: 48, vaccines: ['dtap', 'polio', 'mmr', 'varicella'] as const },
  { months: 132, vaccines: ['tdap', 'hpv'] as const },
  ...[144, 156, 168, 180, 192].map((months) => ({ months, vaccines: [] })),
];

/** Middle values of growth, by age in months; between two rows the line is straight. */
export const growth: readonly {
  months: number;
  heightCm: number;
  weightKg: number;
  pulse: number;
  systolic: number;
  diastolic: number;
}[] = [
  { months: 0, heightCm: 50, weightKg: 3.4, pulse: 140, systolic: 72, diastolic: 42 },
  { months: 3, heightCm: 60.5, weightKg: 6.1, pulse: 136, systolic: 80, diastolic: 48 },
  { months: 6, heightCm: 66.5, weightKg: 7.7, pulse: 132, systolic: 85, diastolic: 50 },
  { months: 12, heightCm: 75, weightKg: 9.4, pulse: 122, systolic: 88, diastolic: 52 },
  { months: 24, heightCm: 87, weightKg: 12.2, pulse: 112, systolic: 90, diastolic: 54 },
  { months: 48, heightCm: 102.5, weightKg: 16.3, pulse: 102, systolic: 94, diastolic: 58 },
  { months: 96, heightCm: 128, weightKg: 26, pulse: 88, systolic: 100, diastolic: 62 },
  { months: 144, heightCm: 150, weightKg: 41, pulse: 80, systolic: 107, diastolic: 66 },
  { months: 204, heightCm: 170, weightKg: 63, pulse: 74, systolic: 114, diastolic: 71 },
  { months: 240, heightCm: 171, weightKg: 70, pulse: 72, systolic: 118, diastolic: 75 },
];

export type VisitKind = 'wellness' | 'senior-wellness' | 'child-checkup' | 'follow-up' | 'illness' | 'telehealth';

/** What a kind of visit is called, what it costs, and the reason when it is not a problem. `hcpcs` else a local code. */
export const visitKinds: Readonly<
  Record<
    VisitKind,
    {
      display: string;
      appointmentType: { code: string; display: string };
      service: string;
      hcpcs?: string;
      priceCents: number;
      reason?: { icd10: string; display: string };
    }
  >
> = {
  wellness: {
    display: 'Yearly preventive visit',
    appointmentType: { code: 'CHECKUP', display: 'A routine check-up, such as an annual physical' },
    service: 'preventive-adult',
    priceCents: 21500,
    reason: { icd10: 'Z00.00', display: 'General adult examination' },
  },
  'senior-wellness': {
    display: 'Yearly wellness visit',
    appointmentType: { code: 'CHECKUP', display: 'A routine check-up, such as an annual physical' },
    service: 'wellness-senior',
    hcpcs: 'G0439',
    priceCents: 17600,
    reason: { icd10: 'Z00.00', display: 'General adult examination' },
  },
  'child-checkup': {
    display: 'Child check-up',
    appointmentType: { code: 'CHECKUP', display: 'A routine check-up, such as an annual physical' },
    service: 'preventive-child',
    priceCents: 16800,
    reason: { icd10: 'Z00.129', display: 'Routine child examination' },
  },
  'follow-up': {
    display: 'Follow-up visit',
    appointmentType: { code: 'FOLLOWUP', display: 'A follow up visit from a previous appointment' },
    service: 'office-visit-standard',
    priceCents: 14250,
  },
  illness: {
    display: 'Visit for an illness',
    appointmentType: { code: 'ROUTINE', display: 'Routine appointment - default if not valued' },
    service: 'office-visit-short',
    priceCents: 9875,
  },
  telehealth: {
    display: 'Video visit',
    appointmentType: { code: 'FOLLOWUP', display: 'A follow up visit from a previous appointment' },
    service: 'video-visit',
    priceCents: 8925,
  },
};

export const allergies: readonly {
  rxnorm?: string;
  display: string;
  category: 'medication' | 'food' | 'environment';
  reaction: string;
  severity: 'mild' | 'moderate' | 'severe';
}[] = [
  { rxnorm: '7980', display: 'Penicillin G', category: 'medication', reaction: 'Hives', severity: 'moderate' },
  { rxnorm: '10180', display: 'Sulfamethoxazole', category: 'medication', reaction: 'Rash', severity: 'mild' },
  { rxnorm: '5640', display: 'Ibuprofen', category: 'medication', reaction: 'Wheezing', severity: 'severe' },
  { rxnorm: '2670', display: 'Codeine', category: 'medication', reaction: 'Nausea', severity: 'mild' },
  { display: 'Peanut', category: 'food', reaction: 'Swelling of the lips', severity: 'severe' },
  { display: 'Shellfish', category: 'food', reaction: 'Hives', severity: 'moderate' },
  { display: 'Cat dander', category: 'environment', reaction: 'Sneezing', severity: 'mild' },
];

export const messages: readonly { question: string; answer?: string }[] = [
  {
    question: 'Is it fine to take my morning tablets before the blood test?',
    answer: 'Yes, with a little water. Please eat only after the blood was taken.',
  },
  { question: 'My cough has not got better since last week. Should I come in?' },
  {
    question: 'Could you send the school form to the address on file?',
    answer: 'It is in the mail since this morning.',
  },
  { question: 'The pharmacy says that my refills have run out.' },
];
