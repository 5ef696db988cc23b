// The parameters of an operation as it was called: by GET with a query, by POST with a Parameters resource, or by POST
// with the one resource that the operation takes. https://hl7.org/fhir/R4/operations.html#request
import { FhirError } from '../../base/outcome.ts';
import { parseJson } from '../../model/json.ts';
import type { FhirRequest } from '../interaction.ts';
import { queryPairs } from '../search/query.ts';

/** One parameter: the text of a query, or the value, resource or parts of a Parameters resource. */
export interface InputParameter {
  name: string;
  /** A string from a query; the JSON value of value[x] from a body. */
  value?: unknown;
  /** `valueString`, `valueCode`, …; absent for a query, whose texts have no type. */
  valueName?: string;
  resource?: Record<string, unknown>;
  part?: readonly InputParameter[];
}

/** Answered by the edge or by paging. */
const ELSEWHERE: ReadonlySet<string> = new Set(['_format', '_pretty', '_page']);

export class OperationInput {
  readonly parameters: readonly InputParameter[];
  /** The body, where it is a resource other than Parameters. */
  readonly resource: Record<string, unknown> | undefined;

  constructor(parameters: readonly InputParameter[], resource?: Record<string, unknown>) {
    this.parameters = parameters;
    this.resource = resource;
  }

  /** The one value of a parameter as text; undefined when it is absent. Throws FhirError('invalid') for several. */
  text(name: string): string | undefined {
    const [first, ...more] = this.texts(name);
    if (more.length > 0)
      throw new FhirError('invalid', `"${name}" is given ${more.length + 1} times; it takes one value.`);
    return first;
  }

  /** All values of a parameter as text, in order. */
  texts(name: string): string[] {
    return this.all(name).map(({ value }) => {
      if (typeof value === 'string') return value;
      if (typeof value === 'number' || typeof value === 'boolean') return String(value);
      throw new FhirError('invalid', `"${name}" takes a simple value.`, { expression: 'Parameters.parameter.value' });
    });
  }

  all(name: string): readonly InputParameter[] {
    return this.parameters.filter((parameter) => parameter.name === name);
  }

  /** Throws FhirError('invalid') naming each parameter that is none of `names`. */
  allowOnly(names: readonly string[]): void {
    const unknown = this.parameters.filter(({ name }) => !names.includes(name) && !ELSEWHERE.has(name));
    if (unknown.length === 0) return;
    const listed = names.length === 0 ? 'It takes none.' : `Accepted: ${names.join(', ')}.`;
    throw new FhirError(
      'invalid',
      unknown.map(({ name }) => ({
        severity: 'error' as const,
        code: 'invalid' as const,
        diagnostics: `"${name.slice(0, 40)}" is not a parameter of this operation. ${listed}`,
      })),
    );
  }
}

/** Reads the parameters of a request. Throws FhirError('invalid') for a body that is no resource. */
export function operationInput(request: FhirRequest): OperationInput {
  const fromQuery = queryPairs(request.query).map(([name, value]): InputParameter => ({ name, value }));
  if (request.method !== 'POST' || request.body.length === 0) return new OperationInput(fromQuery);
  if (request.header('content-type')?.startsWith('application/x-www-form-urlencoded') === true) {
    const form = queryPairs(Buffer.from(request.body).toString('utf8'));
    return new OperationInput([...fromQuery, ...form.map(([name, value]): InputParameter => ({ name, value }))]);
  }
  const body = parseJson(request.body);
  if (!isObject(body) || typeof body.resourceType !== 'string') {
    throw new FhirError('invalid', 'The body of an operation is a Parameters resource, or the one resource it takes.');
  }
  if (body.resourceType !== 'Parameters') return new OperationInput(fromQuery, body);
  return new OperationInput([...fromQuery, ...parametersOf(body.parameter, 'Parameters.parameter')]);
}

function parametersOf(list: unknown, expression: string): InputParameter[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw new FhirError('invalid', 'A list of parameters is expected.', { expression });
  return list.map((parameter: unknown, at): InputParameter => {
    if (!isObject(parameter) || typeof parameter.name !== 'string') {
      throw new FhirError('invalid', 'A parameter has a name.', { expression: `${expression}[${at}]` });
    }
    const valueName = Object.keys(parameter).find((member) => /^value[A-Z]/.test(member));
    return {
      name: parameter.name,
      ...(valueName === undefined ? {} : { valueName, value: parameter[valueName] }),
      ...(isObject(parameter.resource) ? { resource: parameter.resource } : {}),
      ...(parameter.part === undefined ? {} : { part: parametersOf(parameter.part, `${expression}[${at}].part`) }),
    };
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
