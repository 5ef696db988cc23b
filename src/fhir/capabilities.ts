// The CapabilityStatement, made from what is registered. https://hl7.org/fhir/R4/capabilitystatement.html
import { FhirError } from '../base/outcome.ts';
import type { Definitions } from '../model/definitions.ts';
import { json } from './answer.ts';
import { AUDIT_PARAMETERS } from './audit/audit-parameters.ts';
import type { EngineContext } from './context.ts';
import type { Answer } from './interaction.ts';
import { type Operation, operationsAt } from './operations/operation.ts';
import { operations } from './operations/table.ts';
import { isSearchable } from './search/parse.ts';
import { queryPairs } from './search/query.ts';

export interface Software {
  name: string;
  version: string;
  /** When this version came out, as a FHIR date. */
  date: string;
}

/** Endpoints by which tokens are had and ended; names are those of the extension oauth-uris. */
export interface Security {
  authorize: string;
  token: string;
  introspect?: string;
  revoke?: string;
  manage?: string;
  register?: string;
}

const RESOURCE_INTERACTIONS = [
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'history-type',
  'create',
  'search-type',
];
const SYSTEM_INTERACTIONS = ['transaction', 'batch', 'search-system', 'history-system'];

/** 200 with the statement; its text is made once, and again when a search parameter was added. */
export function createCapabilities(
  context: EngineContext,
  software: Software,
  security?: Security,
  isRecorded = false,
): (query: string) => Answer {
  let made: { of: Definitions; body: Uint8Array } | undefined;
  return (query) => {
    const mode = queryPairs(query).find(([name]) => name === 'mode')?.[1];
    if (mode !== undefined && mode !== 'full' && mode !== 'normative') {
      throw new FhirError('invalid', `mode=${mode.slice(0, 40)} is not offered; accepted: full, normative.`);
    }
    const { definitions } = context;
    if (made?.of !== definitions)
      made = { of: definitions, body: json(capabilityStatement(context, { software, security, isRecorded })) };
    return { status: 200, headers: {}, body: made.body, interaction: 'capabilities' };
  };
}

function capabilityStatement(
  { definitions, baseUrl }: EngineContext,
  { software, security, isRecorded }: { software: Software; security: Security | undefined; isRecorded: boolean },
): object {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: software.date,
    kind: 'instance',
    software: { name: software.name, version: software.version },
    implementation: { description: 'careloom FHIR server', url: baseUrl },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+xml', 'json', 'xml'],
    patchFormat: ['application/fhir+json', 'application/json-patch+json'],
    rest: [
      {
        mode: 'server',
        ...(security === undefined ? {} : { security: securityOf(security) }),
        resource: definitions.resourceTypes.map((type) =>
          type === 'AuditEvent' && isRecorded ? recordCapability(definitions) : resourceCapability(type, definitions),
        ),
        interaction: SYSTEM_INTERACTIONS.map((code) => ({ code })),
        searchParam: searchParams('Resource', definitions),
        ...offered(operationsAt(operations, 'system')),
        compartment: [...definitions.compartments.keys()].map(
          (type) => `http://hl7.org/fhir/CompartmentDefinition/${type.toLowerCase()}`,
        ),
      },
    ],
  };
}

/** https://hl7.org/fhir/smart-app-launch/conformance.html#declaring-support-for-oauth2-endpoints-using-capabilitystatement */
function securityOf(endpoints: Security): object {
  const code = 'SMART-on-FHIR';
  return {
    extension: [
      {
        url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
        extension: Object.entries(endpoints).map(([url, valueUri]) => ({ url, valueUri })),
      },
    ],
    cors: true,
    service: [
      { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code }], text: code },
    ],
    description: 'OAuth2 using SMART on FHIR; see .well-known/smart-configuration.',
  };
}

function resourceCapability(type: string, definitions: Definitions): object {
  const references = [...definitions.searchParameters(type).values()].filter(
    (parameter) => parameter.type === 'reference',
  );
  return {
    type,
    profile: `http://hl7.org/fhir/StructureDefinition/${type}`,
    interaction: RESOURCE_INTERACTIONS.map((code) => ({ code })),
    versioning: 'versioned-update',
    readHistory: true,
    updateCreate: true,
    conditionalCreate: true,
    conditionalRead: 'full-support',
    conditionalUpdate: true,
    conditionalDelete: 'multiple',
    referencePolicy: ['literal', 'logical'],
    searchInclude: ['*', ...references.map(({ code }) => `${type}:${code}`)],
    searchRevInclude: referring(type, definitions),
    searchParam: searchParams(type, definitions),
    ...offered([
      ...new Set([...operationsAt(operations, 'type', type), ...operationsAt(operations, 'instance', type)]),
    ]),
  };
}

/** AuditEvents while the server keeps its own record: lines of it, which nobody changes. */
function recordCapability(definitions: Definitions): object {
  return {
    type: 'AuditEvent',
    profile: 'http://hl7.org/fhir/StructureDefinition/AuditEvent',
    interaction: ['read', 'vread', 'search-type', 'create'].map((code) => ({ code })),
    versioning: 'versioned',
    searchParam: searchParams('AuditEvent', definitions).filter(({ name }) => AUDIT_PARAMETERS.has(name)),
    documentation: "The server's own audit record, in the form of IHE's Basic Audit Log Patterns.",
  };
}

/** "An array is never empty": nothing where none is offered. */
function offered(some: readonly Operation[]): { operation?: object[] } {
  return some.length === 0 ? {} : { operation: some.map(({ code, definition }) => ({ name: code, definition })) };
}

function searchParams(type: string, definitions: Definitions): { name: string }[] {
  return [...definitions.searchParameters(type).values()]
    .filter(isSearchable)
    .map(({ code, url, type: kind, isBuilding }) => ({
      name: code,
      definition: url,
      type: kind,
      ...(isBuilding === true
        ? { documentation: 'Building: until all resources are indexed, searching by it is refused.' }
        : {}),
    }));
}

const referringByDefinitions = new WeakMap<Definitions, Map<string, string[]>>();

/** `Type:parameter` of every reference that may point to a type. */
function referring(target: string, definitions: Definitions): string[] {
  let known = referringByDefinitions.get(definitions);
  if (known === undefined) {
    known = new Map(definitions.resourceTypes.map((type) => [type, []]));
    for (const type of definitions.resourceTypes) {
      for (const parameter of definitions.searchParameters(type).values()) {
        if (parameter.type !== 'reference') continue;
        const targets = parameter.targets.length > 0 ? parameter.targets : definitions.resourceTypes;
        for (const one of targets) known.get(one)?.push(`${type}:${parameter.code}`);
      }
    }
    referringByDefinitions.set(definitions, known);
  }
  return known.get(target) ?? [];
}
