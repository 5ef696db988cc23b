// What each entry of a transaction comes to, decided before anything is written. https://hl7.org/fhir/R4/http.html#trules
import { FhirError } from '../../base/outcome.ts';
import type { Check, Write } from '../../store/store.ts';
import { versionInHeader } from '../answer.ts';
import { matchOne } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { changedContent, changeOf, matchToPatch } from '../patch.ts';
import { deletionOf, type Resource, writeOf } from '../prepare.ts';
import { present } from '../read.ts';
import type { Interaction } from '../route.ts';
import { queryPairs, queryString } from '../search/query.ts';
import { conditionalTarget, criteriaIn, deletionCount } from '../write.ts';
import { atEntry, type BundleEntry, entryError, requestOfEntry } from './entries.ts';
import { type FinalIdentities, withFinalIdentities } from './identities.ts';
import { parsed } from './sent-bundle.ts';

/** What an entry comes to. */
export interface Planned {
  /** A patch has the patched resource in place of its own. */
  entry: BundleEntry;
  interaction: Interaction;
  /** "Type/id" that the entry is about, for those that write. */
  target?: { type: string; id: string };
  expect?: Write['expect'];
  /** The condition found this, or the patch changes nothing of it; nothing is written. */
  found?: boolean;
  /** The condition that found nothing. */
  unmet?: string;
  /** What a read was answered before the commit, where the commit does not change it. */
  answer?: Answer;
}

/** Decides which resource an entry is about. `checks` takes what the commit must still find true. */
export async function planEntry(
  entry: BundleEntry,
  interaction: Interaction,
  request: FhirRequest,
  checks: Check[],
  caller: Caller,
  context: EngineContext,
): Promise<Planned> {
  try {
    const own = requestOfEntry(entry, request);
    switch (interaction.kind) {
      case 'create': {
        const { type } = interaction;
        const condition = own.header('if-none-exist');
        if (condition === undefined)
          return { entry, interaction, target: { type, id: context.clock.newId() }, expect: 'absent' };
        const match = await matchOne(type, criteriaIn(condition), caller, context);
        checks.push(match.check);
        if (match.id !== undefined) return { entry, interaction, target: { type, id: match.id }, found: true };
        const unmet = conditionText(type, criteriaIn(condition));
        return { entry, interaction, target: { type, id: context.clock.newId() }, expect: 'absent', unmet };
      }
      case 'update': {
        const { type, id } = interaction;
        requireSameId(entry, id);
        return { entry, interaction, target: { type, id }, ...expectation(own) };
      }
      case 'conditional-update': {
        const { type } = interaction;
        const match = await matchOne(type, entry.query, caller, context);
        checks.push(match.check);
        const { id, expect } = conditionalTarget(match.id, entry.head ?? {}, context, own);
        const unmet = match.id === undefined ? { unmet: conditionText(type, entry.query) } : {};
        return { entry, interaction, target: { type, id }, ...(expect === undefined ? {} : { expect }), ...unmet };
      }
      case 'delete': {
        const { type, id } = interaction;
        return { entry, interaction, target: { type, id }, ...expectation(own) };
      }
      case 'conditional-delete': {
        const { type } = interaction;
        requireOneDeletion(entry);
        const match = await matchOne(type, entry.query, caller, context);
        checks.push(match.check);
        if (match.id === undefined) return { entry, interaction };
        return { entry, interaction, target: { type, id: match.id }, ...expectation(own) };
      }
      case 'patch': {
        const { type, id } = interaction;
        const row = present(await context.store.read(type, id, caller.filter), type, id);
        return await plannedPatch(entry, interaction, row, own, context);
      }
      case 'conditional-patch': {
        const match = await matchToPatch(interaction.type, entry.query, caller, context);
        checks.push(match.check);
        return await plannedPatch(entry, interaction, match.row, own, context);
      }
      default:
        return { entry, interaction };
    }
  } catch (error) {
    throw entryError(entry.at, error);
  }
}

function expectation(own: FhirRequest): { expect?: Write['expect'] } {
  if (own.header('if-none-match')?.trim() === '*') return { expect: 'absent' };
  const expect = versionInHeader('If-Match', own.header('if-match'));
  return expect === undefined ? {} : { expect };
}

function requireSameId(entry: BundleEntry, id: string): void {
  if (entry.head?.id !== id) {
    throw new FhirError('invalid', 'The resource of an update needs the id of its request.url.', {
      expression: `Bundle.entry[${entry.at}].resource.id`,
    });
  }
}

/** A transaction changes what its entries name; how many a condition with _count would delete shows only afterwards. */
function requireOneDeletion({ query }: BundleEntry): void {
  if (deletionCount(query) === undefined) return;
  throw new FhirError(
    'not-supported',
    'In a transaction a DELETE takes the one match of its condition, without _count.',
  );
}

/** A patch is an update with the patched content of the version that was read. */
async function plannedPatch(
  entry: BundleEntry,
  interaction: Interaction,
  row: Parameters<typeof changedContent>[0],
  own: FhirRequest,
  context: EngineContext,
): Promise<Planned> {
  const target = { type: row.type, id: row.id };
  const content = await changedContent(row, changeOf(own, context), own.header('if-match'), context);
  if (content === undefined) return { entry, interaction, target, found: true };
  const patched = { bytes: content.bytes, head: content.resource, resource: () => content.resource };
  return { entry: { ...entry, ...patched }, interaction, target, expect: row.version };
}

/** True for an entry that was planned on a version that it read: where another write came between, it is planned anew. */
export const isPatch = ({ interaction }: Pick<Planned, 'interaction'>): boolean =>
  interaction.kind === 'patch' || interaction.kind === 'conditional-patch';

const conditionText = (type: string, query: string): string => `${type}?${queryString(queryPairs(query))}`;

/**
 * Entries whose conditions say the same and found nothing: what the first creates, the others would find. So a create
 * that comes later finds it, as it would in the next transaction; an update would change it and is refused.
 */
export function joinSameConditions(planned: Planned[]): void {
  const firsts = new Map<string, Planned>();
  for (const [at, one] of planned.entries()) {
    if (one.unmet === undefined) continue;
    const first = firsts.get(one.unmet);
    if (first?.target === undefined) firsts.set(one.unmet, one);
    else if (first.interaction.kind === 'create' && one.interaction.kind === 'create') {
      const { entry, interaction, unmet } = one;
      planned[at] = { entry, interaction, unmet, target: first.target, found: true };
    } else throw overlap(first.entry, one.entry);
  }
}

function overlap(one: BundleEntry, other: BundleEntry): FhirError {
  return new FhirError(
    'invalid',
    `Entries ${one.at} and ${other.at} are about the same resource; a transaction changes each only once.`,
    { expression: `Bundle.entry[${other.at}]` },
  );
}

/** "If any resource identities overlap in steps 1-3, then the transaction SHALL fail." */
export function refuseOverlap(planned: readonly Planned[]): void {
  const known = new Map<string, Planned>();
  for (const one of planned) {
    const { target, found, unmet } = one;
    if (target === undefined) continue;
    const identity = `${target.type}/${target.id}`;
    const other = known.get(identity);
    if (other === undefined) known.set(identity, one);
    // Entries that found the same resource and leave it alone do not contradict each other.
    else if (!found || !(other.found || (unmet !== undefined && unmet === other.unmet)))
      throw overlap(other.entry, one.entry);
  }
}

/** The write of an entry, its references final; undefined for one that writes nothing. */
export function entryWrite(planned: Planned, identities: FinalIdentities, context: EngineContext): Write | undefined {
  const { entry, interaction, target, expect, found } = planned;
  if (target === undefined || found) return undefined;
  if (interaction.kind === 'delete' || interaction.kind === 'conditional-delete') {
    return deletionOf(target.type, target.id, typeof expect === 'number' ? expect : undefined);
  }
  return atEntry(entry, () => {
    const resourceType = entry.head?.resourceType;
    if (resourceType !== target.type) {
      throw new FhirError('invalid', `request.url is for ${target.type}, but the resource is a ${resourceType}.`);
    }
    // What a stored resource refers to is relative to this server, whatever the fullUrl of its patch.
    const from = isPatch(planned) ? undefined : entry.fullUrl;
    const bytes = withFinalIdentities(entry.bytes, from, identities);
    const final = bytes === entry.bytes ? entry.resource() : parsed(bytes);
    return writeOf(bytes, final as Resource, target.id, context, expect);
  });
}
