// When a Binary may be seen or written: it tells of nobody itself, so the resource that its securityContext names decides
// in its place. Without a context it is seen by who sees a resource that it is attached to, in an element that is shown.
// https://hl7.org/fhir/R4/binary.html#security
import { limits } from '../../base/limits.ts';
import type { Condition } from '../../store/store.ts';
import type { Permission } from '../caller.ts';
import { attachmentPrefix, contextPrefix } from '../search/attachments.ts';
import { and, key, not, or, span } from '../search/conditions.ts';
import { spans } from '../search/keys.ts';
import type { Ties } from './ties.ts';

export const BINARY = 'Binary';

/** What a caller may do with other resources. */
export interface Others {
  /** The condition under which the permission holds for a type. */
  of(type: string): Condition;
  hidden(type: string): readonly string[];
}

/** The Binaries that a permission holds for, if it holds for Binaries at all. */
export interface Belonging {
  /** For who reaches those alone that belong to what it reaches. */
  bound: Condition;
  /** For who reaches all of them: what belongs to something that it may not see is closed all the same. */
  open: Condition;
}

/** A Binary is no context of another, so this looks at other types alone and ends. */
export function belonging(permission: Permission, ties: Ties, others: Others): Belonging {
  const within = byContext(ties, others);
  // What it will belong to may come after it.
  if (permission === 'c') return { bound: within, open: not(outside(ties, others)) };
  const withoutContext = not(span(spans.following(contextPrefix)));
  const attached = byAttachment(ties, others);
  const orphan = not(or(ties.elements.map((element) => attachedTo(element, ALL))));
  const isShown = permission === 'r' || permission === 's';
  return {
    bound: isShown ? or([within, and([withoutContext, attached])]) : within,
    open: or([within, and([withoutContext, or([attached, orphan])])]),
  };
}

const ALL: Condition = { kind: 'all' };

/** A key that nothing has: there may be Binaries of this caller's later, and that there are none is not told. */
const NEVER: Condition = key(contextPrefix);

function byContext(ties: Ties, others: Others): Condition {
  const types = inOrder(ties.contexts).map((type) => ({ type, where: others.of(type) }));
  return or([NEVER, ...affordable(types).map(({ type, where }) => contextOf(type, where))]);
}

/** Its context is here and not within. What takes too many conditions to decide is taken as outside. */
function outside(ties: Ties, others: Others): Condition {
  const types = inOrder(ties.contexts).map((type) => ({ type, where: others.of(type) }));
  const decided = new Set(affordable(types));
  return or(types.map((one) => contextOf(one.type, decided.has(one) ? not(one.where) : ALL)));
}

/** Looked for among its keys first: there is but one context, and the planner need not look for those of every type. */
function contextOf(type: string, where: Condition): Condition {
  const named = span(spans.following(`${contextPrefix}${type}/`));
  return and([named, { kind: 'refers', prefix: contextPrefix, to: { type, where } }]);
}

function byAttachment(ties: Ties, others: Others): Condition {
  const shown = inOrder(ties.elements).flatMap((element) => {
    const [type = '', name = ''] = element.split('.');
    return others.hidden(type).includes(name) ? [] : [{ type: element, where: others.of(type) }];
  });
  return or([NEVER, ...affordable(shown).map(({ type, where }) => attachedTo(type, where))]);
}

const attachedTo = (element: string, where: Condition): Condition => ({
  kind: 'referred',
  prefix: attachmentPrefix(element),
  by: { type: element.slice(0, element.indexOf('.')), where },
});

/** Types whose resources Binaries mostly belong to: where not all can be asked for, they come first. */
const COMMON = [
  'Patient',
  'DocumentReference',
  'DiagnosticReport',
  'Media',
  'Encounter',
  'QuestionnaireResponse',
  'Communication',
  'Consent',
  'ServiceRequest',
  'Observation',
];

function inOrder(names: readonly string[]): string[] {
  const place = (name: string): number => {
    const at = COMMON.indexOf(name.split('.')[0] ?? '');
    return at < 0 ? COMMON.length : at;
  };
  return [...names].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
}

interface Typed {
  type: string;
  where: Condition;
}

/** As many as a store takes in one query. */
function affordable(all: readonly Typed[]): Typed[] {
  let left = limits.binaryConditionCharsMax;
  return all.filter(({ where }) => {
    if (where.kind === 'none') return false;
    const chars = JSON.stringify(where).length;
    if (chars > left) return false;
    left -= chars;
    return true;
  });
}
