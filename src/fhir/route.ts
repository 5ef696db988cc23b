// Method and path → interaction. https://hl7.org/fhir/R4/http.html#summary
import { FhirError } from '../base/outcome.ts';
import type { Definitions } from '../model/definitions.ts';
import type { FhirRequest } from './interaction.ts';
import { type Operation, operationsAt } from './operations/operation.ts';
import { operations } from './operations/table.ts';
import { printable, unknownType } from './unknown-name.ts';

/** What a request asks for, before anything is looked up. `path` is the part of the URL that a paging link repeats. */
export type Interaction =
  | { kind: 'capabilities' }
  | { kind: 'read'; type: string; id: string }
  | { kind: 'vread'; type: string; id: string; version: string }
  | { kind: 'history-instance'; type: string; id: string }
  | { kind: 'history-type'; type: string }
  | { kind: 'history-system' }
  | { kind: 'create'; type: string }
  | { kind: 'update'; type: string; id: string }
  | { kind: 'conditional-update'; type: string }
  | { kind: 'delete'; type: string; id: string }
  | { kind: 'conditional-delete'; type: string }
  | { kind: 'search-type'; type: string; path: string; posted: boolean }
  | { kind: 'search-system'; path: string; posted: boolean }
  /** `type` absent: every member type of the compartment. */
  | { kind: 'search-compartment'; compartment: string; id: string; type?: string; path: string; posted: boolean }
  | { kind: 'patch'; type: string; id: string }
  | { kind: 'conditional-patch'; type: string }
  | { kind: 'operation'; operation: Operation; type?: string; id?: string }
  | { kind: 'bundle' };

const ID = /^[A-Za-z0-9\-.]{1,64}$/;

type Method = Exclude<FhirRequest['method'], 'HEAD'>;
type ByMethod = Partial<Record<Method, Interaction>>;

/** Throws FhirError: 404 for a path that leads nowhere, 405 with Allow for one that does, but not by this method. */
export function routeRequest(request: Pick<FhirRequest, 'method' | 'path'>, definitions: Definitions): Interaction {
  const byMethod = interactionsAt(pathSegments(request.path), definitions);
  const method: Method = request.method === 'HEAD' ? 'GET' : request.method;
  const interaction = byMethod[method];
  if (interaction !== undefined) return interaction;
  const allow = Object.keys(byMethod);
  throw new FhirError('method-not-allowed', `${request.method} is not offered here; accepted: ${allow.join(', ')}.`, {
    headers: { Allow: allow.join(', ') },
  });
}

function pathSegments(path: string): string[] {
  const trimmed = path.endsWith('/') ? path.slice(0, -1) : path;
  if (trimmed === '') return [];
  try {
    const segments = trimmed.split('/');
    return trimmed.includes('%') ? segments.map(decodeURIComponent) : segments;
  } catch {
    throw new FhirError('invalid', 'The path has a "%" that does not begin an escape of UTF-8.');
  }
}

function interactionsAt(segments: readonly string[], definitions: Definitions): ByMethod {
  const [first, ...rest] = segments;
  if (first === undefined) return { GET: { kind: 'search-system', path: '', posted: false }, POST: { kind: 'bundle' } };
  if (rest.length === 0) {
    if (first === 'metadata') return { GET: { kind: 'capabilities' } };
    if (first === '_history') return { GET: { kind: 'history-system' } };
    if (first === '_search') return { POST: { kind: 'search-system', path: '', posted: true } };
  }
  if (first.startsWith('$') && rest.length === 0) return operationAt('system', first);
  if (!definitions.isResourceType(first)) return onForeignType(first, rest, definitions);
  return rest.length === 0 ? onType(first) : belowType(first, rest, definitions);
}

const onType = (type: string): ByMethod => ({
  GET: { kind: 'search-type', type, path: type, posted: false },
  POST: { kind: 'create', type },
  PUT: { kind: 'conditional-update', type },
  PATCH: { kind: 'conditional-patch', type },
  DELETE: { kind: 'conditional-delete', type },
});

function belowType(type: string, [id = '', ...rest]: readonly string[], definitions: Definitions): ByMethod {
  if (rest.length === 0 && id === '_search') return { POST: { kind: 'search-type', type, path: type, posted: true } };
  if (rest.length === 0 && id === '_history') return { GET: { kind: 'history-type', type } };
  if (id.startsWith('$') && rest.length === 0) return operationAt('type', id, { type });
  if (!ID.test(id)) {
    throw new FhirError(
      'not-found',
      'An id has 1 to 64 characters out of A-Z, a-z, 0-9, "-" and "."; nothing else exists here.',
    );
  }
  const [next, last, ...more] = rest;
  if (next === undefined) {
    return {
      GET: { kind: 'read', type, id },
      PUT: { kind: 'update', type, id },
      PATCH: { kind: 'patch', type, id },
      DELETE: { kind: 'delete', type, id },
    };
  }
  if (next.startsWith('$') && last === undefined) return operationAt('instance', next, { type, id });
  if (next === '_history' && more.length === 0) {
    return {
      GET: last === undefined ? { kind: 'history-instance', type, id } : { kind: 'vread', type, id, version: last },
    };
  }
  if (more.length === 0 && (last === undefined || last === '_search'))
    return inCompartment(type, id, next, last !== undefined, definitions);
  throw new FhirError('not-found', 'No interaction has this path.');
}

function inCompartment(
  compartment: string,
  id: string,
  type: string,
  posted: boolean,
  definitions: Definitions,
): ByMethod {
  const members = definitions.compartments.get(compartment);
  if (members === undefined) {
    throw new FhirError(
      'not-found',
      `${compartment} is not a compartment; these are: ${[...definitions.compartments.keys()].join(', ')}.`,
    );
  }
  if (type !== '*' && !definitions.isResourceType(type)) throw unknownType(type, definitions, 'not-found');
  const path = `${compartment}/${id}/${type}`;
  const search: Interaction = {
    kind: 'search-compartment',
    compartment,
    id,
    path,
    posted,
    ...(type === '*' ? {} : { type }),
  };
  return posted ? { POST: search } : { GET: search };
}

/** A type that R4 does not have but an operation names, such as ViewDefinition: nothing of it is stored. */
function onForeignType(type: string, [name = '', ...rest]: readonly string[], definitions: Definitions): ByMethod {
  const naming = operations.filter(({ types }) => types !== 'all' && types?.includes(type) === true);
  if (naming.length === 0 || rest.length > 0 || !name.startsWith('$'))
    throw unknownType(type, definitions, 'not-found');
  return operationAt('type', name, { type }, naming);
}

function operationAt(
  level: 'system' | 'type' | 'instance',
  name: string,
  on: { type?: string; id?: string } = {},
  among: readonly Operation[] = operations,
): ByMethod {
  const offered = operationsAt(among, level, on.type);
  const operation = offered.find(({ code }) => code === name.slice(1));
  if (operation === undefined) {
    const names = offered.map(({ code }) => `$${code}`);
    throw new FhirError(
      'not-found',
      `${printable(name)} is not an operation of this server at this address; it has here: ${names.length === 0 ? 'none' : names.join(', ')}.`,
    );
  }
  const interaction: Interaction = { kind: 'operation', operation, ...on };
  if (operation.affectsState) return { POST: interaction };
  const byMethod = { GET: interaction, POST: interaction };
  return operation.takesDelete === true ? { ...byMethod, DELETE: interaction } : byMethod;
}
