// How a page was found, for people: the plan, what the planner counted to choose it, and what it cost.

import { prefixSpan } from './conditions.ts';
import type { Plan, Probe, Walk } from './planner.ts';
import type { Explanation, Source } from './store.ts';
import { typeKey } from './store.ts';

/** What the planner asked the size of, and what it was told. */
export type CountNoted = Explanation['counts'][number];

/** The probe, which notes in `counts` all that the planner has it count. */
export function noting(probe: Probe, counts: CountNoted[]): Probe {
  return {
    walksKeys: probe.walksKeys,
    overlaps: probe.overlaps,
    async count(source, type, cap) {
      const count = await probe.count(source, type, cap);
      counts.push({ source, count });
      return count;
    },
    keysIn: (span, max) => probe.keysIn(span, max),
    ordsIn: (span, max) => probe.ordsIn(span, max),
    few: (plan, options) => probe.few(plan, options),
  };
}

/** `counts` as noted, `examined` candidates looked at, `ms` from the search's start to its end. */
export function explanationOf(plan: Plan, cost: Pick<Explanation, 'counts' | 'examined' | 'ms'>): Explanation {
  if (plan.kind === 'none') return { plan: 'none', residual: { kind: 'none' }, ...cost };
  const source = plan.kind === 'sort' ? plan.source : sourceOfWalk(plan.by, plan.type);
  return { plan: plan.kind, source, residual: plan.residual, ...cost };
}

/** The rows that a walk goes along. */
export function sourceOfWalk(walk: Walk, type: string): Source {
  switch (walk.kind) {
    case 'ord': {
      const { keys, range } = walk;
      if (range !== undefined) return { kind: 'keys', of: keys.map((key) => ({ key, ord: range })) };
      return keys.length === 1 && keys[0] === typeKey(type)
        ? { kind: 'type' }
        : { kind: 'keys', of: keys.map((key) => ({ key })) };
    }
    case 'lastUpdated': {
      const { kind, from, to } = walk;
      return { kind, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
    }
    case 'keys':
      return { kind: 'keys', of: [prefixSpan(walk.prefix)] };
  }
}
