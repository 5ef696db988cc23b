// $graphql: a query in GraphQL over one resource or over the whole server. https://hl7.org/fhir/R4/graphql.html
import type { Operation } from '../operation.ts';

export const graphql: Operation = {
  code: 'graphql',
  definition: 'http://hl7.org/fhir/OperationDefinition/Resource-graphql',
  system: true,
  instances: 'all',
  affectsState: false,
  async perform(call, caller, context) {
    // The GraphQL library takes some 30 ms to load: the first query pays for it, not the start of the server.
    const { performQuery } = await import('./perform-query.ts');
    return performQuery(call, caller, context);
  },
};
