// ViewDefinition/$run: views with FHIRPath of every kind, nested and repeated.
import { anyPath } from './fuzz-patch.ts';
import { type FuzzRequest, type Json, json, type Target } from './fuzz-request.ts';
import { chance, hostileText, many, names, referenceText, type Wild } from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

const jsonHeaders = { 'content-type': 'application/fhir+json' };

export function randomViewRun(random: Wild, target: Target): FuzzRequest {
  const parameter = [
    { name: 'viewResource', resource: view(random, target) },
    ...(chance(random, 0.3) ? [{ name: '_limit', valueInteger: below(random, 100) }] : []),
    ...(chance(random, 0.2)
      ? [{ name: 'patient', valueReference: { reference: referenceText(random, target.known) } }]
      : []),
    ...(chance(random, 0.2)
      ? many(random, 10, () => ({ name: 'resource', resource: pick(random, target.samples) }))
      : []),
  ];
  const path = `${pick(random, ['ViewDefinition/$run', '$viewdefinition-run'])}?_format=${pick(random, ['json', 'csv', 'ndjson', 'xml', 'x'])}`;
  return { method: 'POST', path, headers: jsonHeaders, body: json({ resourceType: 'Parameters', parameter }) };
}

const VIEW_PATHS = [
  'id',
  'getResourceKey()',
  'name.family',
  "name.where(use = 'official').given.first()",
  'birthDate',
  'subject.getReferenceKey(Patient)',
  'value.ofType(Quantity).value',
  "code.coding.code.join(',')",
  'extension.exists()',
  '%x',
  '$this',
  '%rowIndex',
  'name.given.count()',
];

const view = (random: Wild, target: Target): Json => ({
  resourceType: 'ViewDefinition',
  status: 'active',
  resource: chance(random, 0.95) ? pick(random, target.types) : hostileText(random, 30),
  constant: chance(random, 0.3)
    ? [{ name: chance(random, 0.8) ? 'x' : pick(random, names), valueString: 'x' }]
    : undefined,
  where: chance(random, 0.3) ? [{ path: viewPath(random) }] : undefined,
  select: many(random, 3, () => viewSelect(random, 0)),
});

const viewPath = (random: Wild): string => (chance(random, 0.7) ? pick(random, VIEW_PATHS) : anyPath(random));

function viewSelect(random: Wild, depth: number): Json {
  const column = (): Json => ({
    name: chance(random, 0.95) ? `c${below(random, 1_000)}` : hostileText(random, 30),
    path: viewPath(random),
    ...(chance(random, 0.3) ? { type: pick(random, ['string', 'boolean', 'integer', 'dateTime', 'x']) } : {}),
    ...(chance(random, 0.2) ? { collection: chance(random, 0.5) } : {}),
  });
  return {
    column: many(random, 3, column),
    ...(chance(random, 0.3) ? { forEach: viewPath(random) } : {}),
    ...(chance(random, 0.2) ? { forEachOrNull: pick(random, ['name', 'contact', 'component', 'x']) } : {}),
    ...(chance(random, 0.05) ? { repeat: ['item', 'contained', 'extension'] } : {}),
    ...(depth < 6 && chance(random, 0.3) ? { select: many(random, 2, () => viewSelect(random, depth + 1)) } : {}),
    ...(depth < 6 && chance(random, 0.1) ? { unionAll: many(random, 3, () => viewSelect(random, depth + 1)) } : {}),
  };
}
