// Every operation of this server. https://hl7.org/fhir/R4/operationslist.html
import type { Operation } from './operation.ts';

export const operations: readonly Operation[] = [];
