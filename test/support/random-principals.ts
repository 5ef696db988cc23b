// Made-up principals from a seed: patients, representatives, staff of every role, services; with wide and narrow scopes.
import type { Permission, Principal, ResourceScope } from '../../src/fhir/caller.ts';
import { queryOf } from './criteria-query.ts';
import { recordTypes } from './random-records.ts';
import { below, pick, type Random } from './random-search.ts';
import { CODES, chance, madeIds, SYSTEMS, some } from './random-values.ts';
import type { MadePrincipal } from './slow-access.ts';
import type { SearchValue, SlowCriterion } from './slow-criteria.ts';

export const CLEARANCES = ['R', 'V', 'HIV', 'PSY', 'SUD'];

const RIGHTS: readonly (readonly Permission[])[] = [
  ['r', 's'],
  ['r', 's'],
  ['c', 'r', 'u', 'd', 's'],
  ['c', 'r', 's'],
  ['r', 'u', 'd', 's'],
];
const SPLIT: readonly (readonly Permission[])[] = [['r'], ['s'], ['r', 's'], ['c', 'r'], ['d', 's']];

/** `isEven`: what may be read may be searched as well, and the other way round. */
export function randomPrincipal(random: Random): MadePrincipal & { isEven: boolean } {
  const isEven = chance(random, 0.85);
  const criteria = new Map<string, SlowCriterion>();
  const scopes = (...levels: ResourceScope['level'][]): ResourceScope[] =>
    randomScopes(random, levels, isEven ? RIGHTS : SPLIT, criteria);
  const base = {
    client: 'app',
    grant: `grant-${below(random, 1e9)}`,
    purpose: pick(random, ['TREAT', 'TREAT', 'HPAYMT']),
  };
  const patient = pick(random, madeIds);
  const practitioner = `Practitioner/${pick(random, madeIds)}`;
  const user = (roles: string[], fhirUser: string): NonNullable<Principal['user']> => ({
    id: 'u',
    fhirUser,
    roles,
    clearance: chance(random, 0.3) ? some(random, 3, () => pick(random, CLEARANCES)) : [],
  });
  const made = (rest: Partial<Principal>): Principal => ({ ...base, scopes: [], ...rest });
  const principal = ((): Principal => {
    switch (below(random, 12)) {
      case 0:
      case 1:
        return made({ user: user(['patient'], `Patient/${patient}`), patient, scopes: scopes('patient') });
      case 2:
        return made({ user: user(['patient'], `Patient/${patient}`), scopes: scopes('user') });
      case 3:
      case 4:
        return made({ user: user(['clinician'], practitioner), patient, scopes: scopes('user', 'patient') });
      case 5:
      case 6:
        return made({
          user: user([pick(random, ['clinician', 'clinician', 'clinician-all'])], practitioner),
          scopes: scopes('user'),
          ...(chance(random, 0.5) ? { emergency: pick(random, madeIds) } : {}),
        });
      case 7:
        return made({ user: user([pick(random, ['front-desk', 'biller'])], practitioner), scopes: scopes('user') });
      case 8:
        return made({ user: user(['proxy'], `RelatedPerson/${pick(random, madeIds)}`), scopes: scopes('user') });
      case 9: {
        const reference = `Organization/${pick(random, madeIds)}`;
        const service = { reference, roles: [pick(random, ['lab', 'pharmacy', 'lab', 'pharmacy', 'unknown'])] };
        return made({ scopes: scopes('system'), ...(chance(random, 0.6) ? { service } : {}) });
      }
      case 10:
        return made({
          user: user(
            some(random, 2, () => pick(random, ALL_ROLES)),
            practitioner,
          ),
          scopes: scopes('user', 'patient'),
          ...(chance(random, 0.5) ? { patient } : {}),
          ...(chance(random, 0.3) ? { emergency: pick(random, madeIds) } : {}),
        });
      default:
        return made({
          ...(chance(random, 0.5) ? { patient } : {}),
          ...(chance(random, 0.3) ? { user: user(['clinician-all'], practitioner) } : {}),
          scopes: scopes('patient', 'user', 'system'),
        });
    }
  })();
  return { principal, criteria, isEven };
}

const ALL_ROLES = [
  'clinician',
  'clinician-all',
  'front-desk',
  'biller',
  'patient',
  'proxy',
  'administrator',
  'privacy-officer',
  'lab',
  'pharmacy',
  'unknown',
  'constructor',
];

function randomScopes(
  random: Random,
  levels: readonly ResourceScope['level'][],
  rights: readonly (readonly Permission[])[],
  criteria: Map<string, SlowCriterion>,
): ResourceScope[] {
  const level = pick(random, levels);
  if (chance(random, 0.45)) return [{ level, type: '*', can: pick(random, rights) }];
  const types = recordTypes.filter(() => chance(random, 0.6));
  return types.map((type) => {
    const can = pick(random, rights);
    const own = levels.length > 1 && chance(random, 0.2) ? pick(random, levels) : level;
    if (!chance(random, 0.35)) return { level: own, type, can };
    const criterion = granularCriterion(random, type);
    if (criterion === undefined) return { level: own, type, can };
    const query = queryOf(criterion);
    criteria.set(query, criterion);
    return { level: own, type: chance(random, 0.1) ? '*' : type, can, query };
  });
}

/** Plain indexed parameters, as SMART's scopes have them. */
function granularCriterion(random: Random, type: string): SlowCriterion | undefined {
  const code = GRANULAR[type];
  if (code === undefined) return undefined;
  const token = (): SearchValue =>
    code === 'status' || code === 'gender'
      ? { kind: 'token', code: pick(random, STATUSES) }
      : { kind: 'token', ...(chance(random, 0.6) ? { system: pick(random, SYSTEMS) } : {}), code: pick(random, CODES) };
  return { kind: 'parameter', code, values: some(random, 4, token) };
}

const STATUSES = ['final', 'amended', 'active', 'stopped', 'finished', 'planned', 'current', 'male', 'booked'];

const GRANULAR: Readonly<Record<string, string>> = {
  Patient: 'gender',
  Observation: 'category',
  Condition: 'code',
  MedicationRequest: 'status',
  Encounter: 'status',
  DocumentReference: 'status',
  Appointment: 'status',
  ChargeItem: 'code',
  List: 'code',
};
