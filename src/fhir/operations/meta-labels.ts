// The profiles, tags and security labels in use on types: "what tags can be searched for". No more resources are read
// than show them all: the index lists each label, so that a query asks for resources that have one not seen yet, until
// there are none. https://hl7.org/fhir/R4/resource-operation-meta.html
import { setImmediate as pause } from 'node:timers/promises';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { memberSpans } from '../../model/json.ts';
import { or, prefixSpan } from '../../store/conditions.ts';
import { compareKeys } from '../../store/match.ts';
import type { Condition, Key } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { parameterPrefix, sortPrefix } from '../search/keys.ts';
import { LABELS, type LabelSet, labelsOf } from './meta-change.ts';

/** Texts of labels by their identity. */
type Found = Record<LabelSet, Map<string, string>>;

/**
 * The text of a Meta with all labels of the resources of the types that the caller may see, sorted. FhirError('too-costly')
 * when there are too many different ones to list.
 */
export async function labelsInUse(
  types: readonly string[],
  caller: Caller,
  context: EngineContext,
): Promise<Uint8Array> {
  const found: Found = { profile: new Map(), security: new Map(), tag: new Map() };
  for (const type of types) {
    await collect(type, found, caller, context);
    // A store on this thread would let nobody else in between.
    await pause();
  }
  const members = LABELS.filter((set) => found[set].size > 0).map((set) => {
    const texts = [...found[set]].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
    return `"${set}":[${texts.join(',')}]`;
  });
  return Buffer.from(members.length === 0 ? NONE : `{${members.join(',')}}`);
}

/** "A FHIR element is never empty": what says that nothing is in use. */
const NONE =
  '{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"not-applicable"}]}';

/** Resources read by one query: those that have one label often have another that is new, too. */
const ROWS = 20;

async function collect(type: string, found: Found, caller: Caller, context: EngineContext): Promise<void> {
  const lists = [
    sortPrefix(parameterPrefix(type, '_profile'), 'uri'),
    sortPrefix(parameterPrefix(type, '_security'), 'token'),
    sortPrefix(parameterPrefix(type, '_tag'), 'token'),
  ];
  const seen = new Set<Key>();
  for (;;) {
    const where = or(lists.flatMap((list) => unseenOf(list, seen)));
    const page = await context.store.search(
      { type, where, order: [], limit: ROWS, keysOf: lists, budgetMs: limits.queryBudgetMs },
      caller.filters.s,
    );
    if (page.rows.length === 0) return;
    for (const { keys = [], body } of page.rows) {
      for (const key of keys) seen.add(key);
      if (body !== null) addLabels(body, found);
    }
    if (seen.size > limits.metaLabelsMax) {
      throw new FhirError(
        'too-costly',
        `${type} has more than ${limits.metaLabelsMax} different labels; ask for $meta of single resources.`,
      );
    }
  }
}

/** Spans that hold every key of a list but those seen; a key that was not seen may begin with one that was. */
function unseenOf(list: Key, seen: ReadonlySet<Key>): Condition[] {
  const { from, to } = prefixSpan(list);
  const own = [...seen].filter((key) => key.startsWith(list)).sort(compareKeys);
  const starts = [from, ...own.map((key) => `${key}\u0001`)];
  return starts.map((start, at) => ({ kind: 'span', from: start, to: own[at] ?? to }));
}

function addLabels(body: Uint8Array, found: Found): void {
  const meta = memberSpans(body).get('meta');
  if (meta === undefined) return;
  const text = body.subarray(meta.valueStart, meta.valueEnd);
  for (const set of LABELS) {
    for (const { identity, text: label } of labelsOf(text, set)) {
      if (!found[set].has(identity)) found[set].set(identity, label);
    }
  }
}
