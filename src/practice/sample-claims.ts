// The claim for a visit and the payer's answer to it. Amounts are counted in cents and written as dollars at the end.
import type {
  Claim,
  ClaimItem,
  ClaimResponse,
  ClaimResponseItem,
  CodeableConcept,
  Condition,
  FhirResource,
  Reference,
} from 'fhir/r4.js';
import { type Payer, procedures, systems, visitKinds } from './sample-data.ts';
import { addDays, daysBetween } from './sample-days.ts';
import { clinic, clinicSite, payerReference, providerReference } from './sample-office.ts';
import { type Insurance, insuranceOn, type Person, patientReference } from './sample-people.ts';
import type { Visit } from './sample-visits.ts';
import type { Worklist } from './sample-worklist.ts';
import { concept, refer, sampleMeta, usd, type World } from './sample-world.ts';

interface Charge {
  code: CodeableConcept;
  priceCents: number;
  count: number;
}

/** Claim and, when the payer has answered, ClaimResponse; nothing for a patient without coverage on that day. */
export function* visitClaim(
  world: World,
  {
    person,
    visit,
    encounter,
    treated,
    worklist,
  }: { person: Person; visit: Visit; encounter: Reference; treated: readonly Condition[]; worklist: Worklist },
): Generator<FhirResource> {
  const insurance = insuranceOn(person, visit.time.day);
  if (insurance === undefined) return;
  const charges = visitCharges(visit, insurance.payer);
  const sent = claim(world, { person, visit, encounter, treated, insurance, charges });
  yield sent;
  const answeredOn = addDays(sent.created, world.random.between(9, 26));
  if (answeredOn > world.today || world.random.chance(0.06)) return;
  const isDenied = world.random.chance(0.07);
  const answer = claimResponse(world, { sent, person, charges, payer: insurance.payer, answeredOn, isDenied });
  yield answer;
  if (isDenied) worklist.denials.push({ person, day: answeredOn, answer });
}

/** What is charged for: the visit itself, then vaccines, blood taken for the laboratory, and the procedure. */
function visitCharges(visit: Visit, payer: Payer): Charge[] {
  const { service, hcpcs, display, priceCents } = visitKinds[visit.kind];
  const charges: Charge[] = [
    {
      code: hcpcs ? concept(systems.hcpcs, hcpcs, display) : concept(systems.service, service, display),
      priceCents,
      count: 1,
    },
  ];
  const isPublic = payer.coverageType.code === 'PUBLICPOL';
  const others = visit.vaccines.filter((vaccine) => vaccine !== 'influenza');
  if (others.length < visit.vaccines.length) {
    const code = isPublic
      ? concept(systems.hcpcs, 'G0008', 'Giving of the flu vaccine')
      : concept(systems.service, 'vaccine-giving', 'Giving of a vaccine');
    charges.push({ code, priceCents: 2850, count: 1 });
  }
  if (others.length > 0) {
    charges.push({
      code: concept(systems.service, 'vaccine-giving', 'Giving of a vaccine'),
      priceCents: 2435,
      count: others.length,
    });
  }
  if (visit.panels.length > 0)
    charges.push({ code: concept(systems.service, 'blood-draw', 'Taking of blood'), priceCents: 1195, count: 1 });
  if (visit.procedure) {
    const { display: procedureDisplay, priceCents: procedureCents } = procedures[visit.procedure];
    charges.push({
      code: concept(systems.procedure, visit.procedure, procedureDisplay),
      priceCents: procedureCents,
      count: 1,
    });
  }
  return charges;
}

function netCents({ priceCents, count }: Charge): number {
  return priceCents * count;
}

function claim(
  world: World,
  {
    person,
    visit,
    encounter,
    treated,
    insurance,
    charges,
  }: {
    person: Person;
    visit: Visit;
    encounter: Reference;
    treated: readonly Condition[];
    insurance: Insurance;
    charges: readonly Charge[];
  },
): Claim {
  const { day, provider } = visit.time;
  const id = world.nextId('Claim');
  const diagnoses = claimDiagnoses(visit, treated);
  return {
    resourceType: 'Claim',
    id,
    meta: sampleMeta,
    identifier: [{ system: systems.patientControl, value: `PV${id.slice(-4)}` }],
    status: 'active',
    type: concept('http://terminology.hl7.org/CodeSystem/claim-type', 'professional', 'Professional'),
    use: 'claim',
    patient: patientReference(person),
    billablePeriod: { start: day, end: day },
    created: addDays(day, Math.min(world.random.between(0, 3), daysBetween(day, world.today))),
    insurer: payerReference(insurance.payer),
    provider: clinic,
    priority: concept('http://terminology.hl7.org/CodeSystem/processpriority', 'normal', 'Normal'),
    payee: { type: concept('http://terminology.hl7.org/CodeSystem/payeetype', 'provider', 'Provider') },
    facility: clinicSite,
    careTeam: [
      {
        sequence: 1,
        provider: providerReference(provider),
        responsible: true,
        role: concept('http://terminology.hl7.org/CodeSystem/claimcareteamrole', 'primary', 'Primary provider'),
      },
    ],
    diagnosis: diagnoses.map((diagnosis, index) => ({ sequence: index + 1, diagnosisCodeableConcept: diagnosis })),
    insurance: [{ sequence: 1, focal: true, coverage: refer(`Coverage/${insurance.resource.id}`) }],
    item: charges.map((charge, index) =>
      claimItem({ charge, sequence: index + 1, visit, encounter, diagnoses: diagnoses.length }),
    ),
    total: usd(charges.reduce((sum, charge) => sum + netCents(charge), 0)),
  };
}

/** Codes as they were on the day of the visit; a check-up without problems has its reason as the diagnosis. */
function claimDiagnoses(visit: Visit, treated: readonly Condition[]): CodeableConcept[] {
  const { reason } = visitKinds[visit.kind];
  return [
    ...(reason ? [concept(systems.icd10, reason.icd10, reason.display)] : []),
    ...treated.flatMap(({ code }) => code ?? []),
  ];
}

function claimItem({
  charge,
  sequence,
  visit,
  encounter,
  diagnoses,
}: {
  charge: Charge;
  sequence: number;
  visit: Visit;
  encounter: Reference;
  diagnoses: number;
}): ClaimItem {
  const isVideo = visit.kind === 'telehealth';
  return {
    sequence,
    careTeamSequence: [1],
    // A line of a professional claim points to four diagnoses at most.
    diagnosisSequence: Array.from({ length: Math.min(4, diagnoses) }, (_, index) => index + 1),
    productOrService: charge.code,
    servicedDate: visit.time.day,
    locationCodeableConcept: isVideo
      ? concept(systems.placeOfService, '10', "Video visit in the patient's home")
      : concept(systems.placeOfService, '11', 'Office'),
    quantity: { value: charge.count },
    unitPrice: usd(charge.priceCents),
    net: usd(netCents(charge)),
    encounter: [encounter],
  };
}

type AmountKind = 'submitted' | 'eligible' | 'copay' | 'benefit';

const amountKinds: Readonly<Record<AmountKind, string>> = {
  submitted: 'Submitted Amount',
  eligible: 'Eligible Amount',
  copay: 'CoPay',
  benefit: 'Benefit Amount',
};

type Amounts = Record<AmountKind, number>;

/** In cents, for each charge: the copay comes off the first line, and a denied claim is paid nothing. */
function adjudicate({
  charges,
  payer,
  isDenied,
}: {
  charges: readonly Charge[];
  payer: Payer;
  isDenied: boolean;
}): Amounts[] {
  return charges.map((charge, index) => {
    const submitted = netCents(charge);
    const eligible = isDenied ? 0 : Math.round((submitted * payer.allowedPercent) / 100);
    const copay = index === 0 ? Math.min(eligible, payer.copayCents) : 0;
    return { submitted, eligible, copay, benefit: eligible - copay };
  });
}

function adjudications(amounts: Amounts): { category: CodeableConcept; amount: { value: number; currency: 'USD' } }[] {
  return (Object.keys(amountKinds) as AmountKind[]).map((kind) => ({
    category: concept('http://terminology.hl7.org/CodeSystem/adjudication', kind, amountKinds[kind]),
    amount: { value: amounts[kind] / 100, currency: 'USD' },
  }));
}

function claimResponse(
  world: World,
  {
    sent,
    person,
    charges,
    payer,
    answeredOn,
    isDenied,
  }: { sent: Claim; person: Person; charges: readonly Charge[]; payer: Payer; answeredOn: string; isDenied: boolean },
): ClaimResponse {
  const lines = adjudicate({ charges, payer, isDenied });
  const sums = lines.reduce((sum, line) => ({
    submitted: sum.submitted + line.submitted,
    eligible: sum.eligible + line.eligible,
    copay: sum.copay + line.copay,
    benefit: sum.benefit + line.benefit,
  }));
  const id = world.nextId('ClaimResponse');
  return {
    resourceType: 'ClaimResponse',
    id,
    meta: sampleMeta,
    identifier: [
      { system: systems.payerClaim, value: `${payer.payerId}-${answeredOn.replaceAll('-', '')}-${id.slice(-4)}` },
    ],
    status: 'active',
    type: sent.type,
    use: 'claim',
    patient: patientReference(person),
    created: answeredOn,
    insurer: payerReference(payer),
    requestor: clinic,
    request: refer(`Claim/${sent.id}`),
    outcome: 'complete',
    disposition: isDenied ? 'Denied: more information is needed.' : 'Paid as allowed under the plan.',
    item: lines.map(
      (line, index): ClaimResponseItem => ({
        itemSequence: index + 1,
        ...(isDenied ? { noteNumber: [1] } : {}),
        adjudication: adjudications(line),
      }),
    ),
    total: adjudications(sums),
    ...(sums.benefit > 0
      ? {
          payment: {
            type: concept('http://terminology.hl7.org/CodeSystem/ex-paymenttype', 'complete', 'Complete'),
            date: answeredOn,
            amount: usd(sums.benefit),
            identifier: { system: 'urn:careloom:payment', value: `EFT${id.slice(-4)}` },
          },
        }
      : {}),
    ...(isDenied ? { processNote: [{ number: 1, type: 'print', text: 'Please send the note of the visit.' }] } : {}),
  };
}
