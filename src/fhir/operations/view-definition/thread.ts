// What a run does on a thread: the view is read, and its rows are made, some resources at a time.
import type { Definitions } from '../../../model/definitions.ts';
import { pathBudget } from '../../../model/path.ts';
import { parseContent } from './content.ts';
import { type FormatName, formatRows } from './formats.ts';
import { type Resource, rowsOf } from './rows.ts';
import { createTable, type Filled } from './table.ts';
import { parseView, type View } from './view.ts';

interface ViewSource {
  /** JSON text. */
  view: string;
  /** Where it stands in the request, for messages. */
  place: string;
  baseUrl: string;
}

export interface ViewJob extends ViewSource {
  kind: 'view';
}

/** What the main thread needs to know of a view. */
export interface ViewRead {
  /** Type of the resources that it is over. */
  resource: string;
  /** Names of its columns. */
  names: readonly string[];
}

export interface RowsJob extends ViewSource {
  kind: 'rows';
  format: FormatName;
  header: boolean;
  /** Rows at most, those before included. */
  limit: number;
  /** Of the resources before. */
  filled: Filled;
  /** JSON texts of resources one after another, and where each ends. */
  texts: Uint8Array;
  ends: readonly number[];
}

export interface RowsMade {
  text: Uint8Array;
  /** With the rows of the resources before. */
  filled: Filled;
  /** Resources done: the rest is to be asked for again, so that others have their turn. */
  done: number;
}

/** Throws FhirError as `parseView` does. */
export function viewInThread(job: ViewJob, definitions: Definitions): ViewRead {
  const { resource, root } = viewOf(job, definitions);
  return { resource, names: root.allColumns.map(({ name }) => name) };
}

/** The time of one job: a run with many resources goes behind those that came meanwhile. */
const JOB_MS = 200;

/** Throws FhirError as `rowsOf` and the table do. */
export function rowsInThread(job: RowsJob, definitions: Definitions): RowsMade {
  const view = viewOf(job, definitions);
  const names = view.root.allColumns.map(({ name }) => name);
  const table = createTable(formatRows(job.format, names, job.header), job.limit, job.filled);
  const end = performance.now() + JOB_MS;
  let done = 0;
  while (done < job.ends.length && !table.isFull() && performance.now() < end) {
    pathBudget(() => {
      const sliceEnd = Math.min(end, performance.now() + SLICE_MS);
      do {
        table.add(rowsOf(view, resourceOf(job, done)));
        done++;
      } while (done < job.ends.length && !table.isFull() && performance.now() < sliceEnd);
    });
  }
  const { text, filled } = table.end();
  return { text, filled, done };
}

/** Several resources share a time limit, because setting one costs 0.15 ms. */
const SLICE_MS = 20;

function resourceOf({ texts, ends }: RowsJob, at: number): Resource {
  const text = Buffer.from(texts.buffer, texts.byteOffset, texts.byteLength).toString(
    'utf8',
    ends[at - 1] ?? 0,
    ends[at],
  );
  return parseContent(text) as Resource;
}

const views = new Map<string, View>();
const VIEWS_MAX = 20;

/** The view of a run, read once by a thread as long as few others come between. */
function viewOf(source: ViewSource, definitions: Definitions): View {
  const { view, place, baseUrl } = source;
  const key = JSON.stringify([place, baseUrl, view]);
  let found = views.get(key);
  if (found === undefined) {
    found = parseView(JSON.parse(view), place, { definitions, baseUrl });
    views.set(key, found);
    for (const old of views.keys()) if (views.size > VIEWS_MAX) views.delete(old);
  }
  return found;
}
