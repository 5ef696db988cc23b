// What a patient's Consents refuse: compiled into keys when a Consent is stored, and into conditions when somebody asks,
// so that a refusal holds from the commit on and there is no list of allowed ids to go stale.
// https://hl7.org/fhir/R4/consent.html
//
// A rule that refuses is a key `@dny:` actor TAB purpose TAB type TAB labels, each `*` where it does not matter. An actor
// named is refused whoever it is. A refusal that names nobody is about disclosure, to systems of others: the practice's
// own people, who treat the patient, are not meant. What a rule says that cannot be expressed widens the refusal, never
// narrows it; permissions within a refusal count where they name actors alone.
import type { Definitions } from '../../model/definitions.ts';
import type { Condition, Key } from '../../store/store.ts';
import type { Principal } from '../caller.ts';
import { dateCondition } from '../search/compile-ordered.ts';
import { and, key, not, or, span } from '../search/conditions.ts';
import { keys, parameterPrefix, referencePrefix, spans } from '../search/keys.ts';
import { RESTRICTED_KEY } from './labels.ts';
import { aboutPatientsWho } from './reach.ts';
import { roles, SHARED_TYPES } from './roles.ts';

const ANY = '*';
/** An actor that is named by an identifier, in words, by a role, or elsewhere: it counts for everyone. */
const UNKNOWN = '?';
const TAB = '\t';
/** Keys of one Consent, and rules within rules: beyond, it is taken as refusing everyone everything. */
const KEYS_MAX = 200;
const DEPTH_MAX = 8;

const denyKey = (actor: string, purpose: string, type: string, labels: '*' | 'restricted'): Key =>
  `@dny:${actor}${TAB}${purpose}${TAB}${type}${TAB}${labels}`;

const EVERYTHING_TO_EVERYONE = denyKey(UNKNOWN, ANY, ANY, ANY);

const permitKey = (actor: string): Key => `@prm:${actor}`;

// ---- stored ----

interface Provision {
  type?: unknown;
  period?: unknown;
  actor?: unknown;
  action?: unknown;
  securityLabel?: unknown;
  purpose?: unknown;
  class?: unknown;
  code?: unknown;
  dataPeriod?: unknown;
  data?: unknown;
  provision?: unknown;
}

/** The keys of a Consent's refusals; none of one that refuses nothing. */
export function consentKeys(consent: object): Key[] {
  const { provision } = consent as { provision?: Provision };
  if (typeof provision !== 'object' || provision === null) return [];
  const found = refusals(provision, 0);
  return found.length <= KEYS_MAX ? found : [EVERYTHING_TO_EVERYONE];
}

function refusals(provision: Provision, depth: number): Key[] {
  const within = listOf(provision.provision) as Provision[];
  const isDeny = provision.type === 'deny';
  const own = isDeny ? denials(provision) : [];
  // Permissions within a refusal of everyone; within others they would need an order of rules.
  const permitted = isDeny && depth === 0 ? within.filter(isPermit).flatMap(permits) : [];
  const others = within.filter((one) => !isPermit(one));
  const denied =
    depth < DEPTH_MAX ? others.flatMap((one) => refusals(one, depth + 1)) : others.map(() => EVERYTHING_TO_EVERYONE);
  return [...new Set([...own, ...permitted, ...denied])];
}

const isPermit = ({ type }: Provision): boolean => type === 'permit';

function denials({ actor, purpose, class: classes, securityLabel }: Provision): Key[] {
  const labels = listOf(securityLabel).length > 0 ? 'restricted' : ANY;
  const found: Key[] = [];
  for (const who of orAny(actorsOf(actor))) {
    for (const why of orAny(codesOf(purpose))) {
      for (const what of orAny(codesOf(classes))) found.push(denyKey(who, why, what, labels));
    }
  }
  return found;
}

function permits({
  actor,
  period,
  action,
  securityLabel,
  purpose,
  class: classes,
  code,
  dataPeriod,
  data,
}: Provision): Key[] {
  const isPlain = [period, action, securityLabel, purpose, classes, code, dataPeriod, data].every(
    (part) => part === undefined,
  );
  return isPlain
    ? listOf(actor)
        .map(localActor)
        .filter((one) => one !== UNKNOWN)
        .map(permitKey)
    : [];
}

const orAny = (values: readonly string[]): readonly string[] => (values.length === 0 ? [ANY] : values);

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Whoever is meant. Somebody who is named in a way that says nothing here may be anybody. */
const actorsOf = (actors: unknown): string[] => listOf(actors).map(localActor);

/** By type and id, as tokens name people and systems; a version of somebody is that somebody. */
function localActor(actor: unknown): string {
  const reference = (actor as { reference?: { reference?: unknown } } | null)?.reference?.reference;
  const [, name] = /^([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/.exec(String(reference)) ?? [];
  return name !== undefined && ACTORS.some((type) => name.startsWith(`${type}/`)) ? name : UNKNOWN;
}

/** Of these a token names one; a role, a team or a group may stand for any of them. */
const ACTORS = ['Device', 'Organization', 'Patient', 'Practitioner', 'RelatedPerson'] as const;

function codesOf(codings: unknown): string[] {
  return listOf(codings).flatMap((coding) => {
    const code = (coding as { code?: unknown } | null)?.code;
    return typeof code === 'string' ? [code] : [];
  });
}

// ---- asked ----

/**
 * Resources of a type that no active Consent of their patient refuses to a principal. What is refused of restricted
 * resources matters to those alone who see any.
 */
export function notRefused(
  type: string,
  { principal, seesRestricted }: { principal: Principal; seesRestricted: boolean },
  now: number,
  definitions: Definitions,
): Condition {
  if (SHARED_TYPES.has(type) || isAboutOneself(principal)) return { kind: 'all' };
  const refusedOf = (labels: '*' | 'restricted'): Condition =>
    aboutPatientsWho(type, whoRefuses(type, labels, principal, now), definitions);
  const all = not(refusedOf(ANY));
  return seesRestricted ? and([all, not(and([key(RESTRICTED_KEY), refusedOf('restricted')]))]) : all;
}

/** Patients and those who stand for them see their own record, whatever they refuse to others. */
const isAboutOneself = ({ user }: Principal): boolean =>
  user !== undefined && user.roles.length > 0 && user.roles.every((name) => roles[name]?.forPatients === true);

function whoRefuses(type: string, labels: '*' | 'restricted', principal: Principal, now: number): Condition {
  const { user, service, purpose, client } = principal;
  const named = [user?.fhirUser, service?.reference, `Device/${client}`].filter((actor) => actor !== undefined);
  const actors = [UNKNOWN, ...(user === undefined ? [ANY] : []), ...named];
  const denied = actors.flatMap((actor) =>
    [ANY, purpose].flatMap((why) => [ANY, type].map((what) => key(denyKey(actor, why, what, labels)))),
  );
  return {
    kind: 'referred',
    prefix: referencePrefix(parameterPrefix('Consent', 'patient')),
    by: {
      type: 'Consent',
      where: and([
        or(denied),
        key(keys.token(parameterPrefix('Consent', 'status'), 'active', undefined)),
        not(or(named.map((actor) => key(permitKey(actor))))),
        inForce(now),
      ]),
    },
  };
}

/** Without a period, or within it. */
function inForce(now: number): Condition {
  const period = parameterPrefix('Consent', 'period');
  const instant = new Date(now).toISOString();
  return or([
    not(span(spans.present(period))),
    dateCondition(period, instant, { name: 'period', comparison: 'po', ord: undefined }, { timeZone: 'UTC', now }),
  ]);
}
