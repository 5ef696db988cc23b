// Where the resources of a run come from: the store, page by page, as far as the caller may see it.
// https://sql-on-fhir.org/ig/operations-common.html
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import { parseReference } from '../../../model/references.ts';
import type { Condition } from '../../../store/store.ts';
import { requireAny } from '../../access/require.ts';
import type { Caller } from '../../interaction.ts';
import { membership } from '../../search/question.ts';
import type { OperationContext } from '../operation.ts';

export interface StoredSource {
  /** Type of the resources. */
  type: string;
  /** Ids of the patients in whose compartments they are; absent: wherever they are. */
  patients?: readonly string[];
  /** Changed after this instant, ms. */
  since?: number;
}

/** A page is in memory as a whole. */
const PAGE_ROWS = 200;

/** Bodies of the resources, a page at a time; each resource once. */
export async function* storedBodies(
  source: StoredSource,
  caller: Caller,
  context: OperationContext,
): AsyncGenerator<Uint8Array[]> {
  requireAny(caller, ['s'], source.type);
  const wheres = conditions(source, context);
  // One resource may be in the compartments of several patients.
  const sent = wheres.length > 1 ? new Set<string>() : undefined;
  for (const where of wheres) {
    let after: string | undefined;
    do {
      const page = await context.store.search(
        {
          type: source.type,
          where,
          order: [],
          limit: PAGE_ROWS,
          budgetMs: limits.queryBudgetMs,
          ...(after === undefined ? {} : { after }),
        },
        caller.filters.s,
      );
      const rows = sent === undefined ? page.rows : page.rows.filter(({ id }) => !sent.has(id));
      for (const { id } of rows) sent?.add(id);
      yield rows.flatMap(({ body }) => body ?? []);
      after = page.next;
    } while (after !== undefined);
  }
}

/** One condition for all, or one for each handful of patients: a query looks up so many keys at most. */
function conditions({ type, patients, since }: StoredSource, context: OperationContext): Condition[] {
  const changed: Condition[] = since === undefined ? [] : [{ kind: 'lastUpdated', from: since + 1 }];
  if (patients === undefined) return [{ kind: 'and', of: changed }];
  const wheres: Condition[] = [];
  for (let at = 0; at < patients.length; at += limits.orValuesMax) {
    const some = patients.slice(at, at + limits.orValuesMax);
    const of = some.map((id) => membership(type, { type: 'Patient', id }, context));
    wheres.push({ kind: 'and', of: [{ kind: 'or', of }, ...changed] });
  }
  return wheres;
}

/** Throws FhirError('invalid') where resources of the type are in no patient's compartment. */
export function checkCompartment(type: string, context: OperationContext): void {
  const codes = context.definitions.compartments.get('Patient')?.get(type) ?? [];
  if (codes.length > 0) return;
  throw new FhirError(
    'invalid',
    `patient and group select resources in the compartments of patients; ${type} is in none.`,
  );
}

/** The ids, each once. Throws FhirError('invalid') for a patient that is not there or may not be seen. */
export async function patientIds(ids: readonly string[], caller: Caller, context: OperationContext): Promise<string[]> {
  const wanted = [...new Set(ids)];
  checkCount(wanted.length, limits.viewPatientsMax, 'patients');
  const rows = await context.store.readMany(
    wanted.map((id) => ({ type: 'Patient', id })),
    caller.filter,
  );
  const missing = wanted.filter((_, at) => rows[at] === undefined);
  if (missing.length > 0) throw notFound('Patient', missing, 'patient');
  return wanted;
}

/**
 * Ids of the patients that are members of the groups now. Throws FhirError('invalid') for a group that is not there or
 * may not be seen, FhirError('not-supported') for one that has groups as members.
 */
export async function groupPatientIds(
  ids: readonly string[],
  caller: Caller,
  context: OperationContext,
): Promise<string[]> {
  checkCount(ids.length, limits.orValuesMax, 'groups');
  const members = new Set<string>();
  const rows = await context.store.readMany(
    ids.map((id) => ({ type: 'Group', id })),
    caller.filter,
  );
  rows.forEach((row, at) => {
    if (row === undefined || row.body === null) throw notFound('Group', [ids[at] ?? ''], 'group');
    for (const id of memberIds(row.body, context)) members.add(id);
  });
  checkCount(members.size, limits.viewPatientsMax, 'patients');
  return [...members];
}

function checkCount(count: number, max: number, what: string): void {
  if (count > max) throw new FhirError('too-costly', `A view is run for at most ${max} ${what}; these are ${count}.`);
}

interface Group {
  member?: { entity?: { reference?: string }; inactive?: boolean }[];
}

function memberIds(body: Uint8Array, { baseUrl, definitions }: OperationContext): string[] {
  const { member = [] } = JSON.parse(Buffer.from(body).toString('utf8')) as Group;
  return member.flatMap(({ entity, inactive }) => {
    const { kind, type, id } = parseReference(entity?.reference ?? '', baseUrl, definitions.isResourceType);
    if (inactive === true || kind !== 'relative' || id === undefined) return [];
    if (type === 'Group') throw new FhirError('not-supported', 'A group of groups is not supported; name its groups.');
    return type === 'Patient' ? [id] : [];
  });
}

function notFound(type: string, ids: readonly string[], parameter: string): FhirError {
  const named = ids.slice(0, 10).map((id) => `${type}/${id}`);
  const issue = { severity: 'error', code: 'not-found', expression: parameter } as const;
  return new FhirError('invalid', [{ ...issue, diagnostics: `There is no ${named.join(', ')}.` }]);
}
