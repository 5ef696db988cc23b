// Selections of a view: columns, what they are repeated for, and unions of selections.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#specifying-a-select
import { limits } from '../../../base/limits.ts';
import { commonKind, declaredType, fits, isPrimitiveType, type Kind, kindOf } from './column-types.ts';
import {
  booleanIn,
  checkBound,
  checkMembers,
  type FocusTypes,
  nameIn,
  objects,
  type Placed,
  pathIn,
  problem,
  type Reading,
} from './view-elements.ts';
import type { ViewPath } from './view-path.ts';

export interface Selection {
  place: string;
  /** What it makes rows for; absent: for the focus of the selection around it. */
  iteration?: Iteration;
  columns: readonly Column[];
  selections: readonly Selection[];
  unionAll: readonly Selection[];
  /** The columns of its rows in their order: its own, those of its selections, those of its union. */
  allColumns: readonly Column[];
}

export interface Iteration {
  kind: (typeof iterationKinds)[number];
  place: string;
  paths: readonly ViewPath[];
}

export interface Column {
  name: string;
  place: string;
  path: ViewPath;
  collection: boolean;
  /** As declared. */
  type?: string;
}

const iterationKinds = ['forEach', 'forEachOrNull', 'repeat'] as const;

/** Names of the columns that come before, and where each stands. */
type Taken = Map<string, string>;

/** The selections of a list. Their columns are added to `taken`. */
export function selectionsIn(
  reading: Reading,
  value: unknown,
  place: string,
  types: FocusTypes,
  taken: Taken,
): Selection[] {
  return objects(reading, value, place).map((one) => selectionIn(reading, one, types, taken));
}

function selectionIn(reading: Reading, placed: Placed, types: FocusTypes, taken: Taken): Selection {
  const { json, place } = placed;
  checkBound(++reading.counts.selections, limits.viewSelectionsMax, 'selections');
  checkMembers(reading, placed, ['column', 'select', 'unionAll', ...iterationKinds]);
  const { iteration, inner } = iterationIn(reading, placed, types);
  const columns = objects(reading, json.column, `${place}.column`).flatMap((one) =>
    columnIn(reading, one, inner, taken),
  );
  const selections = selectionsIn(reading, json.select, `${place}.select`, inner, taken);
  const unionAll = unionIn(reading, json.unionAll, `${place}.unionAll`, inner, taken);
  const allColumns = [
    ...columns,
    ...selections.flatMap((selection) => selection.allColumns),
    ...(unionAll[0]?.allColumns ?? []),
  ];
  return { place, ...(iteration === undefined ? {} : { iteration }), columns, selections, unionAll, allColumns };
}

// ---- iteration ----

interface Iterated {
  iteration?: Iteration;
  /** Types of what the columns are relative to. */
  inner: FocusTypes;
}

function iterationIn(reading: Reading, { json, place }: Placed, types: FocusTypes): Iterated {
  const [kind, ...more] = iterationKinds.filter((one) => json[one] !== undefined);
  if (kind === undefined) return { inner: types };
  if (more.length > 0) {
    problem(reading, place, `At most one of ${iterationKinds.join(', ')} is accepted.`, 'invariant');
  }
  const at = `${place}.${kind}`;
  if (kind === 'repeat') return repetitionIn(reading, json.repeat, at, types);
  const path = pathIn(reading, json[kind], at, types);
  return { iteration: { kind, place: at, paths: path === undefined ? [] : [path] }, inner: path?.types };
}

/** The paths are applied to what they find, so that their types are those that are reached in the end. */
function repetitionIn(reading: Reading, value: unknown, place: string, types: FocusTypes): Iterated {
  const expressions: unknown[] = Array.isArray(value) ? value : [];
  if (expressions.length === 0) problem(reading, place, 'repeat is a list of FHIRPath expressions.', 'structure');
  const compiled = (from: FocusTypes): ViewPath[] =>
    expressions.flatMap((one, at) => pathIn(reading, one, `${place}[${at}]`, from, { mayMiss: true }) ?? []);
  const reached = new Set<string>();
  let paths = compiled(types);
  const iteration: Iteration = { kind: 'repeat', place, paths };
  while (paths.length === expressions.length && paths.every((path) => path.types !== undefined)) {
    const before = reached.size;
    for (const path of paths) for (const type of path.types ?? []) reached.add(type);
    if (reached.size === before) return { iteration, inner: reached };
    paths = compiled(new Set([...(types ?? []), ...reached]));
  }
  return { iteration, inner: undefined };
}

// ---- unions ----

/** The columns of the first branch are those of the union. */
function unionIn(reading: Reading, value: unknown, place: string, types: FocusTypes, taken: Taken): Selection[] {
  const branches = objects(reading, value, place).map((one) => {
    const names = new Map(taken);
    return { selection: selectionIn(reading, one, types, names), names };
  });
  const [first, ...others] = branches;
  if (first === undefined) return [];
  for (const { selection } of others) checkBranch(reading, first.selection, selection);
  for (const [name, at] of first.names) taken.set(name, at);
  return branches.map(({ selection }) => selection);
}

function checkBranch(reading: Reading, first: Selection, other: Selection): void {
  const [wanted, found] = [first, other].map(({ allColumns }) => allColumns.map(({ name }) => name).join(', '));
  if (wanted !== found) {
    const text = `Branches of a unionAll have the same columns in the same order: the first has ${wanted || 'none'}, this one ${found || 'none'}.`;
    problem(reading, other.place, text, 'invariant');
    return;
  }
  other.allColumns.forEach((column, at) => {
    const same = first.allColumns[at];
    if (same !== undefined) checkSameType(reading, same, column);
  });
}

function checkSameType(reading: Reading, first: Column, column: Column): void {
  const [wanted, found] = [kindOfColumn(first), kindOfColumn(column)];
  if (wanted !== undefined && found !== undefined && wanted !== found) {
    const text = `The column "${column.name}" is ${wanted} in the first branch of the unionAll and ${found} here.`;
    problem(reading, column.place, text, 'invariant');
  } else if (first.collection !== column.collection) {
    const text = `The column "${column.name}" is a collection in one branch of the unionAll and none in another.`;
    problem(reading, column.place, text, 'invariant');
  }
}

function kindOfColumn({ type, path }: Column): Kind | undefined {
  if (type !== undefined) return kindOf(type);
  return path.types === undefined ? undefined : commonKind(path.types);
}

// ---- columns ----

function columnIn(reading: Reading, placed: Placed, types: FocusTypes, taken: Taken): Column[] {
  const { json, place } = placed;
  checkBound(++reading.counts.columns, limits.viewColumnsMax, 'columns');
  checkMembers(reading, placed, ['name', 'path', 'description', 'collection', 'type', 'tag']);
  const name = nameIn(reading, json.name, `${place}.name`);
  const path = pathIn(reading, json.path, `${place}.path`, types);
  const collection = booleanIn(reading, json.collection, `${place}.collection`);
  const type = json.type === undefined ? undefined : typeIn(reading, json.type, `${place}.type`);
  if (path !== undefined && (type !== undefined || json.type === undefined)) {
    checkColumnType(reading, path, type, place);
  }
  if (name === undefined || path === undefined) return [];
  const before = taken.get(name);
  if (before !== undefined) {
    problem(reading, `${place}.name`, `There is a column "${name}" already, at ${before}.`, 'duplicate');
  }
  taken.set(name, place);
  return [{ name, place, path, collection, ...(type === undefined ? {} : { type }) }];
}

function typeIn(reading: Reading, value: unknown, place: string): string | undefined {
  const type = typeof value === 'string' ? declaredType(value, reading.scope.definitions) : undefined;
  if (type === undefined)
    problem(reading, place, 'The type of a column is one of FHIR R4, by its name or URI.', 'value');
  return type;
}

/** The types of a choice need not all fit, but one of them must. */
function checkColumnType(reading: Reading, path: ViewPath, declared: string | undefined, place: string): void {
  const types = [...(path.types ?? [])];
  if (types.length === 0) return;
  const found = types.slice(0, 3).join(', ');
  if (declared === undefined) {
    if (types.some(isPrimitiveType)) return;
    problem(reading, place, `The path yields ${found}: give the column its type, or select an element of it.`);
  } else if (!types.some((type) => fits(type, declared, reading.scope.definitions))) {
    problem(reading, `${place}.type`, `The path yields ${found}, the type of the column is ${declared}.`);
  }
}
