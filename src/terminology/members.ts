// Sets of codes, where a whole code system can be an element although its codes are not known: union, intersection and
// difference never need to know them.

/** Of one code system: these codes, or all but these. */
export type CodesOfSystem = { isAll: false; codes: ReadonlySet<string> } | { isAll: true; except: ReadonlySet<string> };

/** System → what of it is a member. */
export type MemberSet = ReadonlyMap<string, CodesOfSystem>;

/** A set as search compiles it. */
export interface Members {
  codes: { system: string; code: string }[];
  /** Systems of which every code is a member but those named. */
  systems: { system: string; except: string[] }[];
}

export const noMembers: MemberSet = new Map();

export function membersList(set: MemberSet): Members {
  const members: Members = { codes: [], systems: [] };
  for (const [system, part] of set) {
    if (part.isAll) members.systems.push({ system, except: [...part.except] });
    else for (const code of part.codes) members.codes.push({ system, code });
  }
  return members;
}

export function codesOf(system: string, codes: Iterable<string>): MemberSet {
  return new Map([[system, { isAll: false, codes: new Set(codes) }]]);
}

export function allOf(system: string): MemberSet {
  return new Map([[system, { isAll: true, except: new Set() }]]);
}

/** Codes that are named, whether as members or as exceptions. */
export function codeCount(set: MemberSet): number {
  let count = 0;
  for (const part of set.values()) count += sizeOf(part);
  return count;
}

const sizeOf = (part: CodesOfSystem): number => (part.isAll ? part.except.size : part.codes.size);

/** A union that grows. Adding costs as much as the set that is added, however large the union is. */
export interface GrowingUnion {
  readonly members: MemberSet;
  /** As `codeCount` of the members. */
  readonly count: number;
  add(set: MemberSet): void;
}

export function growingUnion(): GrowingUnion {
  const members = new Map<string, OwnCodes>();
  let count = 0;
  return {
    members,
    get count() {
      return count;
    },
    add(set) {
      for (const [system, part] of set) {
        const before = members.get(system);
        const sizeBefore = before === undefined ? 0 : sizeOf(before);
        const after = before === undefined ? ownCopy(part) : added(before, part);
        members.set(system, after);
        count += sizeOf(after) - sizeBefore;
      }
    },
  };
}

type OwnCodes = { isAll: false; codes: Set<string> } | { isAll: true; except: Set<string> };

function ownCopy(part: CodesOfSystem): OwnCodes {
  return part.isAll ? { isAll: true, except: new Set(part.except) } : { isAll: false, codes: new Set(part.codes) };
}

function added(own: OwnCodes, part: CodesOfSystem): OwnCodes {
  if (own.isAll && part.isAll) return { isAll: true, except: own.except.intersection(part.except) };
  if (own.isAll && !part.isAll) for (const code of part.codes) own.except.delete(code);
  if (!own.isAll && part.isAll) return { isAll: true, except: new Set(part.except).difference(own.codes) };
  if (!own.isAll && !part.isAll) for (const code of part.codes) own.codes.add(code);
  return own;
}

export function intersection(a: MemberSet, b: MemberSet): MemberSet {
  const result = new Map<string, CodesOfSystem>();
  for (const [system, part] of a) {
    const other = b.get(system);
    if (other !== undefined) result.set(system, intersectionOfSystem(part, other));
  }
  return withoutEmpty(result);
}

function intersectionOfSystem(a: CodesOfSystem, b: CodesOfSystem): CodesOfSystem {
  if (a.isAll && b.isAll) return { isAll: true, except: a.except.union(b.except) };
  if (a.isAll) return b.isAll ? a : { isAll: false, codes: b.codes.difference(a.except) };
  return b.isAll ? intersectionOfSystem(b, a) : { isAll: false, codes: a.codes.intersection(b.codes) };
}

/** What is in `a` and not in `b`. */
export function difference(a: MemberSet, b: MemberSet): MemberSet {
  const result = new Map(a);
  for (const [system, part] of b) {
    const whole = a.get(system);
    if (whole !== undefined) result.set(system, intersectionOfSystem(whole, complement(part)));
  }
  return withoutEmpty(result);
}

function complement(part: CodesOfSystem): CodesOfSystem {
  return part.isAll ? { isAll: false, codes: part.except } : { isAll: true, except: part.codes };
}

function withoutEmpty(set: ReadonlyMap<string, CodesOfSystem>): MemberSet {
  return new Map([...set].filter(([, part]) => part.isAll || part.codes.size > 0));
}
