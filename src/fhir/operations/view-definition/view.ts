// A ViewDefinition as it is run: checked, its expressions compiled.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html
import { FhirError } from '../../../base/outcome.ts';
import { nearest } from '../../../base/text.ts';
import type { Definitions } from '../../../model/definitions.ts';
import { commonKind } from './column-types.ts';
import { type Constants, constantLiteral } from './constants.ts';
import { isVariable } from './expression.ts';
import { type Selection, selectionsIn } from './selections.ts';
import {
  checkMembers,
  type FocusTypes,
  type Json,
  nameIn,
  objects,
  type Placed,
  pathIn,
  problem,
  type Reading,
} from './view-elements.ts';
import type { ViewPath } from './view-path.ts';

export interface View {
  /** Type of the resources it is over. */
  resource: string;
  /** All must be true for a resource to be in the view. */
  where: readonly Criterion[];
  /** The outermost selections, in one that has nothing else. */
  root: Selection;
}

export interface Criterion {
  place: string;
  path: ViewPath;
}

/**
 * Reads a view. `place` is where it stands in the request, `baseUrl` what local references may begin with.
 * Throws FhirError('unprocessable') with an issue for each problem, and FhirError('too-costly') for a view without bounds.
 */
export function parseView(json: Json, place: string, scope: { definitions: Definitions; baseUrl: string }): View {
  const reading: Reading = {
    scope: { ...scope, constants: new Map() },
    problems: [],
    counts: { selections: 0, columns: 0, chars: 0 },
  };
  const view = viewIn(reading, { json, place });
  if (reading.problems.length > 0) throw new FhirError('unprocessable', reading.problems);
  return view;
}

function viewIn(reading: Reading, placed: Placed): View {
  const { json, place } = placed;
  checkMembers(reading, placed, viewMembers);
  checkFhirVersion(reading, json.fhirVersion, `${place}.fhirVersion`);
  const resource = resourceIn(reading, json.resource, `${place}.resource`);
  reading.scope.constants = constantsIn(reading, json.constant, `${place}.constant`);
  const types: FocusTypes = resource === undefined ? undefined : new Set([resource]);
  const where = objects(reading, json.where, `${place}.where`).flatMap((one) => criterionIn(reading, one, types));
  const selections = selectionsIn(reading, json.select, `${place}.select`, types, new Map());
  const allColumns = selections.flatMap((selection) => selection.allColumns);
  if (reading.counts.columns === 0) problem(reading, `${place}.select`, 'A view has at least one column.', 'required');
  return { resource: resource ?? '', where, root: { place, columns: [], selections, unionAll: [], allColumns } };
}

/** Those of a CanonicalResource included; `resourceDefinition` stands in the published examples. */
const viewMembers: readonly string[] = `resource select where constant fhirVersion profile resourceType
  resourceDefinition meta implicitRules language text contained url identifier version versionAlgorithmString
  versionAlgorithmCoding name title status experimental date publisher contact description useContext jurisdiction
  purpose copyright copyrightLabel approvalDate lastReviewDate effectivePeriod topic author editor reviewer endorser
  relatedArtifact`.split(/\s+/);

function checkFhirVersion(reading: Reading, value: unknown, place: string): void {
  if (value === undefined) return;
  const versions: unknown[] = Array.isArray(value) ? value : [value];
  if (versions.some((version) => /^4\.0(?:\.[01])?$/.test(String(version)))) return;
  problem(reading, place, 'The view is for other versions of FHIR; the resources here are of 4.0.1.');
}

function resourceIn(reading: Reading, value: unknown, place: string): string | undefined {
  const { definitions } = reading.scope;
  if (typeof value === 'string' && definitions.isResourceType(value)) return value;
  const near = typeof value === 'string' ? nearest(value, definitions.resourceTypes) : undefined;
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
  problem(reading, place, `A view is over one resource type of FHIR R4.${hint}`, 'required');
  return undefined;
}

function constantsIn(reading: Reading, value: unknown, place: string): Constants {
  const constants = new Map<string, string>();
  for (const placed of objects(reading, value, place)) {
    checkMembers(reading, placed, ['name'], /^value[A-Z]/);
    const name = nameIn(reading, placed.json.name, `${placed.place}.name`);
    const found = constantLiteral(placed.json);
    if ('problem' in found) problem(reading, placed.place, found.problem, 'value');
    if (name === undefined) continue;
    if (constants.has(name)) problem(reading, placed.place, `There is a constant "${name}" already.`, 'duplicate');
    else if (isVariable(name)) problem(reading, placed.place, `%${name} is a variable; take another name.`);
    else constants.set(name, 'problem' in found ? '{}' : found.literal);
  }
  return constants;
}

function criterionIn(reading: Reading, placed: Placed, types: FocusTypes): Criterion[] {
  checkMembers(reading, placed, ['path', 'description']);
  const place = `${placed.place}.path`;
  const path = pathIn(reading, placed.json.path, place, types);
  if (path === undefined) return [];
  if (path.types !== undefined && path.types.size > 0 && commonKind(path.types) !== 'boolean') {
    problem(reading, place, 'A criterion is true or false; compare the element or ask whether it exists().');
  }
  return [{ place, path }];
}
