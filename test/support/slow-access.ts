// Who may see what, decided slowly on the content of resources, as the rules are written down: token, launch, role, labels
// and emergencies, each saying yes. It shares with the server the definitions, the accessors of search expressions and the
// table of roles, and none of its conditions, keys or queries.
import { type Reach, type RoleRule, roles, SHARED_TYPES } from '../../src/fhir/access/roles.ts';
import type { Permission, Principal, ResourceScope } from '../../src/fhir/caller.ts';
import type { Definitions } from '../../src/model/definitions.ts';
import { baseUrl } from './engine.ts';
import type { SlowCriterion, StoredResource } from './slow-criteria.ts';
import type { SlowSearch } from './slow-search.ts';
import { dateSpan } from './slow-values.ts';

/** A version as it was stored; without a resource it is a deletion. */
export interface SlowVersion {
  version: number;
  resource: StoredResource | undefined;
}

/** A principal, and what the queries of its scopes ask for. */
export interface MadePrincipal {
  principal: Principal;
  /** By the scope's query. */
  criteria: ReadonlyMap<string, SlowCriterion>;
}

const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const SENSITIVE =
  'ETH GDIS HIV MST PSY SCA SDV SEX SPI BH COGN DVD EMOTDIS MH PSYTHPN SUD ETHUD OPIOIDUD STD TBOO VIO SICKLE DIA'.split(
    ' ',
  );
const DAYS_30_MS = 30 * 86_400_000;

interface Provision {
  type?: string;
  actor?: { reference: { reference?: string } }[];
  purpose?: { code: string }[];
  class?: { code: string }[];
  securityLabel?: object[];
  period?: { start?: string; end?: string };
  provision?: Provision[];
}

interface Asking {
  names: readonly string[];
  isPerson: boolean;
  purpose: string;
}

function refuses(consent: StoredResource, resource: StoredResource, asking: Asking, now: number): boolean {
  const { provision } = consent as { provision?: Provision };
  if (consent.status !== 'active' || provision === undefined) return false;
  const { start, end } = provision.period ?? {};
  if (start !== undefined && dateSpan(start, 'UTC').from > now) return false;
  if (end !== undefined && dateSpan(end, 'UTC').to <= now) return false;
  const isExcepted =
    provision.type === 'deny' &&
    (provision.provision ?? []).some(
      (one) => one.type === 'permit' && isPlain(one) && actorsOf(one).some((actor) => asking.names.includes(actor)),
    );
  return !isExcepted && denials(provision).some((rule) => isAbout(rule, resource, asking));
}

/** Of one with conditions nobody knows whether they are met. */
const isPlain = ({ period, securityLabel, purpose, class: classes }: Provision): boolean =>
  [period, securityLabel, purpose, classes].every((part) => part === undefined);

const denials = (provision: Provision): Provision[] => [
  ...(provision.type === 'deny' ? [provision] : []),
  ...(provision.provision ?? []).filter(({ type }) => type !== 'permit').flatMap(denials),
];

function isAbout(rule: Provision, resource: StoredResource, { names, isPerson, purpose }: Asking): boolean {
  const { security = [] } = resource.meta as { security?: { system?: string; code?: string }[] };
  const actors = actorsOf(rule);
  const isMeant = actors.length === 0 ? !isPerson : actors.some((actor) => actor === UNKNOWN || names.includes(actor));
  return (
    isMeant &&
    (rule.purpose?.some(({ code }) => code === purpose) ?? true) &&
    (rule.class?.some(({ code }) => code === resource.resourceType) ?? true) &&
    (rule.securityLabel === undefined ||
      security.some((label) => isSensitive({ ...label, code: label.code?.toUpperCase() ?? '' })))
  );
}

/** By type and id; whoever is named in a way that says nothing here may be anybody. */
const actorsOf = ({ actor = [] }: Provision): string[] =>
  actor.map(({ reference: { reference = '' } }) => {
    const [, name = UNKNOWN] =
      /^((?:Device|Organization|Patient|Practitioner|RelatedPerson)\/[A-Za-z0-9.-]+)(?:\/_history\/\d+)?$/.exec(
        reference,
      ) ?? [];
    return name;
  });

const UNKNOWN = 'anybody';

interface Orders {
  type: string;
  performer: string;
  results: Readonly<Record<string, string>>;
}

const LAB: Orders = {
  type: 'ServiceRequest',
  performer: 'performer',
  results: { DiagnosticReport: 'based-on', Observation: 'based-on' },
};
const PHARMACY: Orders = {
  type: 'MedicationRequest',
  performer: 'intended-dispenser',
  results: { MedicationDispense: 'prescription' },
};

/** Restricted, very restricted, or one of what ActCode calls sensitive. */
export const isSensitive = ({ system, code = '' }: { system?: string | undefined; code?: string }): boolean =>
  (system === CONFIDENTIALITY && (code === 'R' || code === 'V')) || (system === ACT_CODE && SENSITIVE.includes(code));

/** Where Binaries are attached, of the types that are made. */
const ATTACHED: Readonly<Record<string, string>> = {
  DocumentReference: 'content',
  DiagnosticReport: 'presentedForm',
  Patient: 'photo',
  Practitioner: 'photo',
  Consent: 'sourceAttachment',
};

/** Ids of the Binaries that a resource has attached. */
export function attachedTo(resource: StoredResource): string[] {
  const element = ATTACHED[resource.resourceType];
  const urls: string[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('url' in value) urls.push(String(value.url));
    for (const one of Object.values(value)) look(one);
  };
  if (element !== undefined) look((resource as unknown as Record<string, unknown>)[element]);
  return urls.flatMap((url) => {
    const name = localName(url);
    return name?.startsWith('Binary/') === true ? [name.slice('Binary/'.length)] : [];
  });
}

/** "Type/id" of a reference or URL to something here, or to a version of it. */
function localName(text: string | undefined): string | undefined {
  const local = text?.startsWith(`${baseUrl}/`) === true ? text.slice(baseUrl.length + 1) : text;
  const [, name] = /^([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/.exec(local ?? '') ?? [];
  return name;
}

export class SlowAccess {
  readonly #made: MadePrincipal;
  /** Live resources. */
  readonly #slow: SlowSearch;
  readonly #definitions: Definitions;
  readonly #now: number;
  readonly #treated = new Map<string, boolean>();

  constructor(made: MadePrincipal, slow: SlowSearch, definitions: Definitions, now: number) {
    this.#made = made;
    this.#slow = slow;
    this.#definitions = definitions;
    this.#now = now;
  }

  /** The versions of a resource, oldest first, that may be seen: those that may, if the current one may. */
  visible(versions: readonly SlowVersion[], permission: Permission): SlowVersion[] {
    const isOpen = versions.map((_, at) => {
      // A deletion is seen by who might see what was deleted.
      const content = versions[at]?.resource ?? versions[at - 1]?.resource;
      return content !== undefined && this.may(permission, content);
    });
    return isOpen.at(-1) === true ? versions.filter((_, at) => isOpen[at]) : [];
  }

  /** Whether the permission holds for a resource of this content. */
  may(permission: Permission, resource: StoredResource): boolean {
    if (resource.resourceType === 'Binary') return this.#mayBinary(permission, resource);
    const usual =
      this.#isScoped(permission, resource) &&
      this.#isRoles(permission, resource) &&
      this.#isCleared(resource) &&
      !this.#isRefused(resource);
    return usual || this.#isEmergency(permission, resource);
  }

  // ---- Binaries ----

  /** A Binary is what it belongs to: the resource that its context names, or without one those that it is attached to. */
  #mayBinary(permission: Permission, binary: StoredResource): boolean {
    const isPermitted = (other: StoredResource): boolean => this.may(permission, other);
    const isHelped = (other: StoredResource): boolean => this.#isEmergency(permission, other);
    const reaches = this.#reachesOfBinaries(permission, binary);
    const usual =
      this.#isCleared(binary) &&
      ((reaches.length > 0 && this.#belongs(permission, binary, isPermitted)) ||
        (reaches.includes('wide') && this.#isNobodysBinary(permission, binary, isPermitted)));
    return usual || (this.#mayHelp(permission, 'Binary') && this.#belongs(permission, binary, isHelped));
  }

  /** Of each way in which scopes and roles let it be seen, whether all are reached by it. */
  #reachesOfBinaries(permission: Permission, binary: StoredResource): ('wide' | 'bound')[] {
    const { principal } = this.#made;
    const levels = principal.scopes
      .filter(({ type, can }) => (type === '*' || type === 'Binary') && can.includes(permission))
      .filter(({ query }) => this.#isQueried(query, binary))
      .flatMap(({ level }): ('wide' | 'bound')[] => {
        if (level === 'patient') return principal.patient === undefined ? [] : ['bound'];
        return (level === 'user') === (principal.user !== undefined) ? ['wide'] : [];
      });
    const isPerson = principal.user !== undefined || principal.service !== undefined;
    const rules = this.#rules('Binary').filter(({ can }) => can.includes(permission));
    const ofRoles = isPerson ? rules.map(({ reach }) => (reach === 'all' ? 'wide' : 'bound')) : ['wide'];
    return levels.flatMap((level) =>
      ofRoles.map((reach): 'wide' | 'bound' => (level === 'wide' && reach === 'wide' ? 'wide' : 'bound')),
    );
  }

  #belongs(permission: Permission, binary: StoredResource, isMeant: (other: StoredResource) => boolean): boolean {
    const context = this.#contextOf(binary);
    if (binary.securityContext !== undefined) return context !== undefined && isMeant(context);
    return (permission === 'r' || permission === 's') && this.#isAttached(binary, isMeant);
  }

  #isAttached(binary: StoredResource, isMeant: (other: StoredResource) => boolean): boolean {
    return this.#holdersOf(binary).some(
      ({ resource, element }) => !this.hidden(resource.resourceType).includes(element) && isMeant(resource),
    );
  }

  /** For who reaches all of them: what is attached to nothing; and to be created, what belongs to nothing that is here. */
  #isNobodysBinary(
    permission: Permission,
    binary: StoredResource,
    isMeant: (other: StoredResource) => boolean,
  ): boolean {
    if (permission === 'c') {
      const context = this.#contextOf(binary);
      return context === undefined || isMeant(context);
    }
    if (binary.securityContext !== undefined) return false;
    return this.#holdersOf(binary).length === 0 || this.#isAttached(binary, isMeant);
  }

  /** The live resource that is its context, which another Binary cannot be. */
  #contextOf({ securityContext }: StoredResource): StoredResource | undefined {
    const name = localName((securityContext as { reference?: string } | undefined)?.reference);
    return name === undefined || name.startsWith('Binary/') ? undefined : this.#slow.resources.get(name);
  }

  /** Live resources that it is attached to, and by which element. */
  #holdersOf({ id }: StoredResource): { resource: StoredResource; element: string }[] {
    return Object.entries(ATTACHED).flatMap(([type, element]) =>
      this.#slow
        .ofType(type)
        .filter((resource) => attachedTo(resource).includes(id))
        .map((resource) => ({ resource, element })),
    );
  }

  // ---- the token ----

  #isScoped(permission: Permission, resource: StoredResource): boolean {
    return this.#made.principal.scopes.some(
      (scope) =>
        (scope.type === '*' || scope.type === resource.resourceType) &&
        scope.can.includes(permission) &&
        this.#isLevel(scope, resource) &&
        this.#isQueried(scope.query, resource),
    );
  }

  #isLevel({ level }: ResourceScope, resource: StoredResource): boolean {
    const { patient, user } = this.#made.principal;
    if (level === 'patient') return patient !== undefined && this.#isOf(patient, resource);
    return level === 'user' ? user !== undefined : user === undefined;
  }

  /** A query that names what the type does not have is about another type. */
  #isQueried(query: string | undefined, resource: StoredResource): boolean {
    if (query === undefined || query === '') return true;
    const criterion = this.#made.criteria.get(query);
    if (criterion === undefined || !('code' in criterion)) return false;
    if (!this.#definitions.searchParameters(resource.resourceType).has(criterion.code)) return false;
    return this.#slow.meets(resource, [criterion], this.#now);
  }

  // ---- roles ----

  #isRoles(permission: Permission, resource: StoredResource): boolean {
    const { user, service } = this.#made.principal;
    if (user === undefined && service === undefined) return true;
    return this.#rules(resource.resourceType).some(
      ({ can, reach }) => can.includes(permission) && this.#isReached(reach, resource),
    );
  }

  /** Rules about `*` are for types that no other rule of the role names. */
  #rules(type: string): RoleRule[] {
    const { user, service } = this.#made.principal;
    return ((user ?? service)?.roles ?? []).flatMap((name) => {
      const rules = Object.hasOwn(roles, name) ? (roles[name]?.rules ?? []) : [];
      const named = rules.filter(({ types }) => types.includes(type));
      return named.length > 0 ? named : rules.filter(({ types }) => types.includes('*'));
    });
  }

  #isReached(reach: Reach, resource: StoredResource): boolean {
    const { user, service } = this.#made.principal;
    const { fhirUser } = user ?? {};
    const own = fhirUser ?? service?.reference;
    switch (reach) {
      case 'all':
        return true;
      case 'shown':
        return false;
      case 'own':
        return fhirUser?.startsWith('Patient/') === true && this.#isOf(fhirUser.slice('Patient/'.length), resource);
      case 'represented':
        return (
          fhirUser?.startsWith('RelatedPerson/') === true &&
          this.#isOfSome(resource, (patient) => this.#isRepresented(fhirUser, patient))
        );
      case 'care-team':
        return own !== undefined && this.#isOfSome(resource, (patient) => this.#isTreated(own, patient));
      case 'lab-orders':
        return own !== undefined && this.#isOrdered(resource, own, LAB);
      case 'prescriptions':
        return own !== undefined && this.#isOrdered(resource, own, PHARMACY);
    }
  }

  /** In the compartment of a patient, and not merely linked to it. */
  #isOfSome(resource: StoredResource, isMeant: (patient: StoredResource) => boolean): boolean {
    const { resourceType: type } = resource;
    if (SHARED_TYPES.has(type)) return true;
    if (type === 'Patient') return isMeant(resource);
    const patients = this.#patientsOf(resource);
    if (type === 'Device' && this.#isNobodys(resource)) return true;
    return patients.some((id) => {
      const patient = this.#slow.resources.get(`Patient/${id}`);
      return patient !== undefined && isMeant(patient);
    });
  }

  #isTreated(practitioner: string, patient: StoredResource): boolean {
    if (this.#refs(patient, 'general-practitioner').includes(practitioner)) return true;
    const own = `Patient/${patient.id}`;
    const known = this.#treated.get(own);
    if (known !== undefined) return known;
    const isTreated = this.#isInTeam(practitioner, own) || this.#isMet(practitioner, own);
    this.#treated.set(own, isTreated);
    return isTreated;
  }

  #isInTeam(practitioner: string, patient: string): boolean {
    return this.#slow
      .ofType('CareTeam')
      .some(
        (team) =>
          team.status === 'active' &&
          this.#refs(team, 'participant').includes(practitioner) &&
          this.#refs(team, 'subject').includes(patient),
      );
  }

  #isMet(practitioner: string, patient: string): boolean {
    return this.#slow.ofType('Encounter').some((encounter) => {
      if (!this.#refs(encounter, 'participant').includes(practitioner)) return false;
      const { start, end } = (encounter.period ?? {}) as { start?: string; end?: string };
      if (!this.#refs(encounter, 'subject').includes(patient) || (start ?? end) === undefined) return false;
      const until = end === undefined ? Number.POSITIVE_INFINITY : dateSpan(end, 'America/New_York').to;
      return until > this.#now - DAYS_30_MS;
    });
  }

  #isRepresented(relatedPerson: string, patient: StoredResource): boolean {
    const person = this.#slow.resources.get(relatedPerson);
    return person?.active === true && this.#refs(person, 'patient').includes(`Patient/${patient.id}`);
  }

  /** An active order to carry out, what came of one, or what else is of its patient. */
  #isOrdered(resource: StoredResource, performer: string, orders: Orders): boolean {
    const isTheirs = (order: StoredResource): boolean =>
      order.status === 'active' && this.#refs(order, orders.performer).includes(performer);
    const { resourceType: type } = resource;
    if (type === orders.type) return isTheirs(resource);
    const basis = orders.results[type];
    if (basis !== undefined) {
      const order = this.#refs(resource, basis).map((ref) => this.#slow.resources.get(ref));
      if (!order.some((one) => one?.resourceType === orders.type && isTheirs(one))) return false;
    }
    const subjects = this.#slow
      .ofType(orders.type)
      .filter(isTheirs)
      .flatMap((order) => this.#refs(order, 'subject'));
    return this.#isOfSome(resource, ({ id }) => subjects.includes(`Patient/${id}`));
  }

  // ---- labels, hidden elements, emergencies ----

  #isCleared(resource: StoredResource): boolean {
    const { user } = this.#made.principal;
    const own = (user?.roles ?? []).flatMap((name) => (Object.hasOwn(roles, name) ? [roles[name]] : []));
    const labels = ((resource.meta as { security?: { system?: string; code?: string }[] }).security ?? []).map(
      ({ system, code }) => ({ system, code: code?.toUpperCase() ?? '' }),
    );
    if (
      own.some((role) => role?.forPatients) &&
      labels.some(({ system, code }) => system === ACT_CODE && code === 'NOPAT')
    )
      return false;
    if (own.some((role) => role?.labels === 'all')) return true;
    return labels.every((label) => !isSensitive(label) || user?.clearance.includes(label.code) === true);
  }

  // ---- consents ----

  /** A patient's Consent may refuse it to somebody named, or its disclosure to systems of others. */
  #isRefused(resource: StoredResource): boolean {
    const { resourceType: type } = resource;
    const { user, service, client, purpose, emergency } = this.#made.principal;
    const own = ['patient', 'proxy'];
    const isOneself = user !== undefined && user.roles.length > 0 && user.roles.every((name) => own.includes(name));
    if (SHARED_TYPES.has(type) || isOneself) return false;
    const patients = type === 'Patient' ? [resource.id] : this.#patientsOf(resource);
    const names = [user?.fhirUser, service?.reference, `Device/${client}`].filter((name) => name !== undefined);
    const asked = { names, isPerson: user !== undefined, purpose: emergency === undefined ? purpose : 'BTG' };
    return this.#slow
      .ofType('Consent')
      .filter((consent) =>
        this.#refs(consent, 'patient').some(
          (ref) =>
            patients.includes(ref.slice('Patient/'.length)) && (type === 'Patient' || this.#slow.resources.has(ref)),
        ),
      )
      .some((consent) => refuses(consent, resource, asked, this.#now));
  }

  /** Elements that every rule by which the type is read hides. */
  hidden(type: string): string[] {
    const lists = this.#rules(type)
      .filter(({ can }) => can.includes('r'))
      .map(({ hidden = [] }) => hidden);
    return [...(lists[0] ?? [])].filter((element) => lists.every((list) => list.includes(element)));
  }

  /** The record of the one patient, read and search alone; the directory and what nobody treats by stay as they are. */
  #isEmergency(permission: Permission, resource: StoredResource): boolean {
    const { emergency } = this.#made.principal;
    return (
      emergency !== undefined && this.#mayHelp(permission, resource.resourceType) && this.#isOf(emergency, resource)
    );
  }

  #mayHelp(permission: Permission, type: string): boolean {
    const { emergency, scopes, user } = this.#made.principal;
    if (emergency === undefined || user === undefined || !['r', 's'].includes(permission)) return false;
    const mayHelp = user.roles.some((name) => ['clinician', 'clinician-all'].includes(name));
    if (!mayHelp || SHARED_TYPES.has(type) || type === 'AuditEvent') return false;
    return scopes.some(
      ({ level, type: named, can }) =>
        level === 'user' && (named === '*' || named === type) && can.includes(permission),
    );
  }

  // ---- compartments ----

  #isOf(patient: string, resource: StoredResource): boolean {
    const { resourceType: type, id } = resource;
    if (SHARED_TYPES.has(type) || this.#isNobodys(resource)) return true;
    return (type === 'Patient' && id === patient) || this.#patientsOf(resource).includes(patient);
  }

  /** A Device in the store room. */
  #isNobodys(resource: StoredResource): boolean {
    return resource.resourceType === 'Device' && resource.patient === undefined;
  }

  #patientsOf(resource: StoredResource): string[] {
    const { resourceType: type } = resource;
    const codes = type === 'Device' ? ['patient'] : (this.#definitions.compartments.get('Patient')?.get(type) ?? []);
    return codes
      .flatMap((code) => this.#refs(resource, code))
      .flatMap((ref) => (ref.startsWith('Patient/') ? [ref.slice('Patient/'.length)] : []));
  }

  /** "Type/id" of what a parameter's references name. */
  #refs(resource: StoredResource, code: string): string[] {
    if (!this.#definitions.searchParameters(resource.resourceType).has(code)) return [];
    return this.#slow.values(resource, code).flatMap(({ value }) => {
      const text = typeof value === 'string' ? value : (value as { reference?: string }).reference;
      return localName(text) ?? [];
    });
  }
}
