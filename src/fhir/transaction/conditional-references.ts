// Conditional references of a transaction: "5. Resolve any conditional references". https://hl7.org/fhir/R4/http.html#trules
import { FhirError } from '../../base/outcome.ts';
import type { Turn } from '../../base/slices.ts';
import { matchesKeys } from '../../store/match.ts';
import type { Check, Condition, Write } from '../../store/store.ts';
import { conditionOf, matches, severalMatch } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { entryError } from './entries.ts';
import { conditionalParts, conditionalReferences, type FinalIdentities, type Identities } from './identities.ts';
import { entryWrite, type Planned } from './plan.ts';

/** Text of each conditional reference → "Type/id", against what is there after the writes of the transaction. */
export async function resolveConditional(
  planned: readonly Planned[],
  identities: FinalIdentities,
  checks: Check[],
  caller: Caller,
  context: EngineContext,
  turn: Turn,
): Promise<Identities> {
  const conditional = new Map<string, string>();
  const pendingWrites = pendingByType(planned, identities, context);
  for (const { entry, target, found } of planned) {
    await turn();
    if (target === undefined || found || entry.bytes.length === 0) continue;
    for (const reference of conditionalReferences(entry.bytes)) {
      if (conditional.has(reference)) continue;
      try {
        conditional.set(reference, await resolveReference(reference, pendingWrites, checks, caller, context));
      } catch (error) {
        throw entryError(entry.at, error);
      }
    }
  }
  return conditional;
}

/** What the transaction itself writes of a type, made when first asked for: few references are conditional. */
function pendingByType(
  planned: readonly Planned[],
  identities: FinalIdentities,
  context: EngineContext,
): (type: string) => readonly Write[] {
  const known = new Map<string, readonly Write[]>();
  return (type) => {
    let writes = known.get(type);
    if (writes === undefined) {
      const touched = planned.filter(({ target }) => target?.type === type);
      writes = touched.map((one) => entryWrite(one, identities, context)).filter((write) => write !== undefined);
      known.set(type, writes);
    }
    return writes;
  };
}

async function resolveReference(
  reference: string,
  pendingWrites: (type: string) => readonly Write[],
  checks: Check[],
  caller: Caller,
  context: EngineContext,
): Promise<string> {
  const { type, query } = conditionalParts(reference);
  if (!context.definitions.isResourceType(type))
    throw new FhirError(
      'invalid',
      `A conditional reference begins with a resource type, and "${type.slice(0, 40)}" is none.`,
    );
  const where = await conditionOf(type, query, caller, context);
  const pending = pendingWrites(type);
  const untouched: Condition = { kind: 'not', of: { kind: 'ids', ids: pending.map(({ id }) => id) } };
  const stored = await matches(
    type,
    pending.length === 0 ? where : { kind: 'and', of: [where, untouched] },
    caller,
    context,
  );
  checks.push(stored.check);
  const now = context.clock.now();
  // A chain leads out of the resource; through what is not stored yet it leads nowhere.
  const own = pending
    .filter((write) => write.body !== null && matchesKeys({ ...write, lastUpdated: now }, where, () => false))
    .map((write) => write.id);
  const [id, ...more] = [...stored.ids, ...own];
  if (more.length > 0) throw severalMatch(type);
  if (id === undefined)
    throw new FhirError(
      'precondition',
      `A conditional reference to ${type} matches nothing; load what it refers to first.`,
    );
  return `${type}/${id}`;
}
