// Observations grouped by code: "for codes with translations (multiple codings), the code translations are assumed to be
// equal and the grouping by code SHALL follow the transitive property of equality".
// https://hl7.org/fhir/R4/observation-operation-lastn.html

/** An observation among the newest of its group. */
export interface Observed {
  id: string;
  group: string;
  /** Equal for observations of the same time; absent for one without a date. */
  date?: string;
}

/** Codes that stand for the same, as a forest: each code knows another of its group, the last one is the group's name. */
export class CodeGroups {
  readonly #next = new Map<string, string>();

  /** Makes the codes of one observation equal; one of their names. */
  join(codes: readonly string[]): string {
    const [first = '', ...others] = codes;
    for (const other of others) {
      const [from, to] = [this.groupOf(other), this.groupOf(first)];
      if (from !== to) this.#next.set(from, to);
    }
    return first;
  }

  /** The name of the group that a code belongs to now. */
  groupOf(code: string): string {
    let group = code;
    for (let next = this.#next.get(group); next !== undefined; next = this.#next.get(group)) group = next;
    // What was walked is made short for the next time.
    for (let at = code; at !== group; ) {
      const next = this.#next.get(at) ?? group;
      this.#next.set(at, group);
      at = next;
    }
    return group;
  }
}

/**
 * Ids of the first `max` of each group, in the order given. "In case of a tie - when the effective times for >1
 * Observations are equal - both will be returned": those that tie with the last are taken as well.
 */
export function newestOfEach(observed: readonly Observed[], max: number): string[] {
  const groups = new Map<string, { count: number; last: string | undefined }>();
  const ids: string[] = [];
  for (const { id, group, date } of observed) {
    const known = groups.get(group) ?? { count: 0, last: undefined };
    groups.set(group, known);
    const isTie = date !== undefined && date === known.last;
    if (known.count >= max && !isTie) continue;
    known.count++;
    known.last = date;
    ids.push(id);
  }
  return ids;
}
