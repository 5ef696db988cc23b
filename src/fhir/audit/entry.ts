// A line of the audit record: who asked for what by what right, and what became of it. No content of a resource and no
// value of an element is in it; the query of a search is, because the record is where it has to be found.
import { limits } from '../../base/limits.ts';
import type { AuditEntry } from '../../store/store.ts';
import type { Caller } from '../caller.ts';
import type { FhirRequest } from '../interaction.ts';

/**
 * The body of a line: compact JSON. Six years of a clinic are hundreds of millions of lines, so names are short, and what
 * is not known is left out.
 *
 * | member    | what it is                                                                                          |
 * | --------- | --------------------------------------------------------------------------------------------------- |
 * | `k`       | kind: the interaction (`read`, `search-type`, `transaction`, …), `$name` of an operation, `external` for an AuditEvent that a client sent, or the kind of a SecurityEvent (`login`, …) |
 * | `s`       | HTTP status that stands for the outcome                                                             |
 * | `d`       | 1: denied by a rule of access, whatever status the client was shown                                  |
 * | `x`       | why it was refused or failed, for the reader of the record alone                                     |
 * | `u`       | user id                                                                                              |
 * | `o`       | roles of the user                                                                                    |
 * | `c`       | client                                                                                               |
 * | `g`       | grant                                                                                                |
 * | `w`       | on whose behalf a system works: `Organization/1`                                                     |
 * | `p`       | purpose of use, a code of v3-PurposeOfUse                                                            |
 * | `b`       | 1: the glass was broken                                                                              |
 * | `t` `i` `v` | type, id and version that the request names                                                        |
 * | `q`       | path and raw query of what searches; cut at limits.auditQueryCharsMax                               |
 * | `f`       | raw form of a posted search, cut likewise                                                            |
 * | `n`       | how many resources of each type were shown or written                                                |
 * | `y`       | 1: a rehearsal that changed nothing (Prefer: dry-run)                                                |
 * | `sc`      | scopes of a token or consent                                                                         |
 * | `e`       | names this line, where the id of its AuditEvent is needed at once                                    |
 * | `ev`      | the AuditEvent of an `external` line                                                                 |
 * | `a` `r`   | address of the client, id of the request                                                             |
 * | `ms`      | how long it took                                                                                     |
 * | `written` | of writes, added by the store: `Type/id/_history/version` of each                                    |
 */
export interface AuditBody {
  k: string;
  s: number;
  d?: 1;
  x?: string;
  u?: string;
  o?: readonly string[];
  c?: string;
  g?: string;
  w?: string;
  p?: string;
  b?: 1;
  t?: string;
  i?: string;
  v?: string;
  q?: string;
  f?: string;
  n?: Readonly<Record<string, number>>;
  y?: 1;
  sc?: string;
  e?: string;
  ev?: unknown;
  a?: string;
  r?: string;
  ms?: number;
  written?: readonly string[];
}

/** The lines of one event: one, or several where it touched more patients than a line may name. */
export function auditEntries(
  at: number,
  agent: string,
  patients: ReadonlySet<string>,
  body: AuditBody,
): [AuditEntry, ...AuditEntry[]] {
  const text = JSON.stringify(body);
  const ids = [...patients];
  const most = limits.auditPatientsMax;
  const first: AuditEntry = { at, agent, patients: ids.length <= most ? ids : ids.slice(0, most), body: text };
  const entries: [AuditEntry, ...AuditEntry[]] = [first];
  for (let from = most; from < ids.length; from += most)
    entries.push({ at, agent, patients: ids.slice(from, from + most), body: text });
  return entries;
}

/** Who did it, as a name that stays: the person's resource where there is one. */
export function agentOf({ kind, principal }: Caller): string {
  if (principal === undefined) return kind;
  const { user, client } = principal;
  if (user === undefined) return `client:${client}`;
  return user.fhirUser ?? `user:${user.id}`;
}

/** By what right it was done, and from where. */
export function circumstances({ principal }: Caller, { origin }: FhirRequest): Partial<AuditBody> {
  const from = origin === undefined ? {} : { a: origin.address, r: origin.requestId };
  if (principal === undefined) return from;
  const { user, service, client, grant, purpose, emergency } = principal;
  return {
    ...(user === undefined ? {} : { u: user.id, ...(user.roles.length === 0 ? {} : { o: user.roles }) }),
    c: client,
    g: grant,
    ...(service === undefined ? {} : { w: service.reference }),
    p: purpose,
    ...(emergency === undefined ? {} : { b: 1 as const }),
    ...from,
  };
}

/** Raw text of a request, as far as a line keeps it. */
export const keptText = (text: string): string => text.slice(0, limits.auditQueryCharsMax);
