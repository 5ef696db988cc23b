// What an operation is: its name, where it may be called, and what it does. The router, the CapabilityStatement and the
// dispatch all read the one table in table.ts. https://hl7.org/fhir/R4/operations.html

import type { EngineContext } from '../context.ts';
import type { Answer, Caller, Engine, FhirRequest } from '../interaction.ts';
import type { OperationInput } from './input.ts';

/** What operations work with besides the engine's own context. */
export interface OperationContext extends EngineContext {
  /** Another interaction of the same caller. */
  perform: Engine['perform'];
}

export interface OperationCall {
  /** Absent at the system level. */
  type?: string;
  /** Absent at the system and type levels. */
  id?: string;
  request: FhirRequest;
  /** The parameters, from the query or the Parameters resource of the body; read when asked for. */
  input(): OperationInput;
}

export interface Operation {
  /** Without the dollar sign. */
  code: string;
  /** Canonical of its OperationDefinition. */
  definition: string;
  /** Where it may be called: at the base, on types, on instances. `all`: every resource type. */
  system?: true;
  types?: 'all' | readonly string[];
  instances?: 'all' | readonly string[];
  /** True for one that changes what is stored; it is then called by POST alone. */
  affectsState: boolean;
  /** Tells of no resource of the type it is called on, so that no right to the type is needed. */
  isOpen?: true;
  /** May be called by DELETE, too: the address is of something that a client can give up. */
  takesDelete?: true;
  /** Names of the parameters it takes; others are refused. Absent where it reads the query itself. */
  parameters?: readonly string[];
  perform(call: OperationCall, caller: Caller, context: OperationContext): Promise<Answer>;
}

/** The operations that may be called at a level. */
export function operationsAt(
  operations: readonly Operation[],
  level: 'system' | 'type' | 'instance',
  type?: string,
): readonly Operation[] {
  return operations.filter(({ system, types, instances }) => {
    if (level === 'system') return system === true;
    const on = level === 'type' ? types : instances;
    return on === 'all' || (type !== undefined && on?.includes(type) === true);
  });
}
