// Every operation of this server. https://hl7.org/fhir/R4/operationslist.html
import { jobStatus } from '../async.ts';
import { accessReport } from './access-report.ts';
import { breakTheGlass } from './break-the-glass.ts';
import { everythingOperations } from './everything.ts';
import { explain } from './explain.ts';
import { graphql } from './graphql/operation.ts';
import { lastn } from './lastn.ts';
import { metaOperations } from './meta.ts';
import type { Operation } from './operation.ts';
import { stats } from './stats.ts';
import { viewDefinitionOperations } from './view-definition/operation.ts';
import { whyNot } from './why-not.ts';

export const operations: readonly Operation[] = [
  jobStatus,
  accessReport,
  breakTheGlass,
  ...everythingOperations,
  explain,
  graphql,
  lastn,
  ...metaOperations,
  stats,
  ...viewDefinitionOperations,
  whyNot,
];
