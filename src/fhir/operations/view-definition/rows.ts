// The rows that a view makes of one resource.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#processing-algorithm
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import { writtenText } from '../../../model/path.ts';
import { isPrimitiveType, kindOf } from './column-types.ts';
import type { Column, Iteration, Selection } from './selections.ts';
import type { Criterion, View } from './view.ts';
import type { Around, Focus, ViewPath } from './view-path.ts';

/** A value of a column: a JSON value (or a written decimal), a list for a collection, null for none. */
export type Cell = unknown;

/** Cells in the order of the view's columns. */
export type Row = readonly Cell[];

/**
 * The rows in order: those of the first selection change slowest. Resources of other types have none. Throws
 * FhirError('unprocessable') where the view does not fit the resource, FhirError('too-costly') where it makes too much.
 */
export function rowsOf(view: View, resource: Resource): readonly Row[] {
  if (resource.resourceType !== view.resource) return [];
  const making: Making = { name: `${resource.resourceType}/${String(resource.id).slice(0, 64)}`, foci: 0 };
  const focus: Focus = { type: view.resource, value: resource };
  const around: Around = { resource, rowIndex: 0 };
  if (!view.where.every((criterion) => holds(criterion, focus, around, making))) return [];
  return selectionRows(view.root, focus, around, making);
}

export interface Resource {
  resourceType: string;
  id?: unknown;
}

/** The making of one resource's rows. */
interface Making {
  /** `Patient/1`, for messages. */
  name: string;
  /** Elements visited so far. */
  foci: number;
}

/** Nothing is no truth; anything but a boolean is a mistake in the view. */
function holds({ path, place }: Criterion, focus: Focus, around: Around, making: Making): boolean {
  const [value, ...more] = evaluated(path, place, focus, around, making);
  if (value === undefined) return false;
  if (more.length === 0 && typeof value.value === 'boolean') return value.value;
  throw misfit(making, place, 'a criterion is true or false; compare the element or ask whether it exists()');
}

// ---- selections ----

function selectionRows(selection: Selection, focus: Focus, around: Around, making: Making): Row[] {
  const { iteration } = selection;
  if (iteration === undefined) return focusRows(selection, focus, around, making);
  const foci = iterated(iteration, focus, around, making);
  if (foci.length === 0 && iteration.kind === 'forEachOrNull') return [selection.allColumns.map(nullCell)];
  const rows: Row[] = [];
  foci.forEach((item, rowIndex) => {
    append(rows, focusRows(selection, item, { ...around, rowIndex }, making), making);
  });
  return rows;
}

const nullCell = ({ path }: Column): Cell => (path.isRowIndex ? 0 : null);

/** Columns, selections and union of one focus, each row of one with each row of the others. */
function focusRows(selection: Selection, focus: Focus, around: Around, making: Making): Row[] {
  if (++making.foci > limits.viewFociMax) throw tooMuch(making, `visits more than ${limits.viewFociMax} elements`);
  let rows: Row[] = [selection.columns.map((column) => cell(column, focus, around, making))];
  for (const inner of selection.selections) {
    rows = product(rows, selectionRows(inner, focus, around, making), making);
  }
  if (selection.unionAll.length === 0) return rows;
  const union: Row[] = [];
  for (const branch of selection.unionAll) append(union, selectionRows(branch, focus, around, making), making);
  return product(rows, union, making);
}

function product(left: readonly Row[], right: readonly Row[], making: Making): Row[] {
  checkSize(left.length * right.length, (left[0]?.length ?? 0) + (right[0]?.length ?? 0), making);
  return left.flatMap((one) => right.map((other) => [...one, ...other]));
}

function append(rows: Row[], more: readonly Row[], making: Making): void {
  checkSize(rows.length + more.length, more[0]?.length ?? 0, making);
  for (const row of more) rows.push(row);
}

function checkSize(rows: number, columns: number, making: Making): void {
  if (rows > limits.viewRowsMax || rows * columns > limits.viewCellsMax) throw tooMuch(making, 'makes too many rows');
}

// ---- iteration ----

function iterated(iteration: Iteration, focus: Focus, around: Around, making: Making): Focus[] {
  const { kind, paths, place } = iteration;
  if (kind === 'repeat') return repeated(iteration, focus, around, making);
  const [path] = paths;
  return path === undefined ? [] : evaluated(path, place, focus, around, making);
}

/** What the paths find, and what they find in that: each element, then those below it, before its neighbour. */
function repeated({ paths, place }: Iteration, focus: Focus, around: Around, making: Making): Focus[] {
  const found: Focus[] = [];
  const visit = (item: Focus, depth: number): void => {
    if (depth > limits.jsonDepthMax) {
      throw misfit(making, place, `the paths of a repeat lead downwards; these go more than ${depth - 1} steps`);
    }
    for (const path of paths) {
      for (const below of evaluated(path, place, item, around, making)) {
        found.push(below);
        if (found.length > limits.viewFociMax)
          throw tooMuch(making, `repeats more than ${limits.viewFociMax} elements`);
        visit(below, depth + 1);
      }
    }
  };
  visit(focus, 1);
  return found;
}

// ---- columns ----

function cell(column: Column, focus: Focus, around: Around, making: Making): Cell {
  const found = evaluated(column.path, `${column.place}.path`, focus, around, making);
  const [first] = found;
  if (!column.collection && found.length > 1) {
    const accepted = 'take one, as with first(), put them together with join(), or declare the column a collection';
    throw misfit(making, `${column.place}.path`, `column "${column.name}" has ${found.length} values; ${accepted}`);
  }
  for (const { value } of found) checkValue(column, value, making);
  if (column.collection) return found.map(({ value }) => value);
  return first === undefined ? null : first.value;
}

/** For paths whose types are known only now. */
function checkValue(column: Column, value: unknown, making: Making): void {
  const { type, name, place } = column;
  const actual = jsonKind(value);
  if (type === undefined) {
    if (actual !== 'object') return;
    throw misfit(making, place, `column "${name}" yields an element with parts; give the column its type`);
  }
  const wanted = isPrimitiveType(type) ? jsonKinds[kindOf(type)] : 'object';
  if (actual === wanted) return;
  throw misfit(making, `${place}.type`, `column "${name}" is declared ${type}, which is no ${actual}`);
}

/** How JSON writes values of a kind. */
const jsonKinds: Readonly<Record<string, string>> = {
  boolean: 'boolean',
  number: 'number',
  string: 'string',
  date: 'string',
  time: 'string',
};

function jsonKind(value: unknown): string {
  return typeof value === 'object' && writtenText(value) !== undefined ? 'number' : typeof value;
}

// ---- evaluation and messages ----

function evaluated(path: ViewPath, place: string, focus: Focus, around: Around, making: Making): Focus[] {
  try {
    return path.evaluate(focus, around);
  } catch (error) {
    if (!(error instanceof FhirError) || error.kind === 'too-costly') throw error;
    throw misfit(making, place, error.message);
  }
}

function misfit({ name }: Making, place: string, problem: string): FhirError {
  return new FhirError('unprocessable', `${name}: ${problem}.`, { expression: place });
}

function tooMuch({ name }: Making, what: string): FhirError {
  return new FhirError('too-costly', `${name}: the view ${what}; narrow its forEach, repeat or unionAll.`);
}
