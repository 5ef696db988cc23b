// What one request touches: the rows it was handed, the ones its answer shows, and what it wrote.
import { FhirError } from '../../base/outcome.ts';
import type { Commit, Row, Write, Written } from '../../store/store.ts';
import { everything } from '../access/callers.ts';
import type { EngineContext } from '../context.ts';
import type { Answer } from '../interaction.ts';
import type { Interaction } from '../route.ts';
import { addPatients, PATIENT_KEYS } from './patients.ts';
import { WatchedStore } from './watched-store.ts';

/** Patients whose data was touched, and resources by type. */
export interface Touched {
  patients: Set<string>;
  counts: Map<string, number>;
}

/** The context of an entry of a batch, which leaves a trail of its own. A rehearsal stays one. */
export function withoutTrail(context: EngineContext): EngineContext {
  const { trail, rehearsed } = context;
  if (trail === undefined) return context;
  const { store, commit } = trail.around;
  return { ...context, store, commit: rehearsed === undefined ? commit : context.commit, trail: undefined };
}

/** A row without its content: an operation may go through more than memory holds. */
type Seen = Pick<Row, 'type' | 'id' | 'keys'>;

const seen = ({ type, id, keys = [] }: Row): Seen => ({ type, id, keys });

const nothing = (): Touched => ({ patients: new Set(), counts: new Map() });

/** The entries that go with a commit. */
type EntriesOf = (touched: Touched, writes: readonly Write[]) => NonNullable<Commit['audit']>;

export class Trail {
  /** The context in which everything leaves its mark here. */
  readonly context: EngineContext;
  /** A commit took place that is in the record. */
  isCommitted = false;
  /** What answers showed that is in no entry yet. */
  #shown = new Set<Seen>();
  #shownEvents = nothing();
  /** "Type/id" of what was written, which is in the entries of its commit. */
  readonly #written = new Set<string>();
  readonly #rows: Seen[] = [];
  readonly #isOperation: boolean;
  /** The context without it. */
  readonly around: EngineContext;

  constructor(interaction: Interaction, around: EngineContext, entriesOf: EntriesOf) {
    this.#isOperation = interaction.kind === 'operation';
    this.around = around;
    const store = new WatchedStore(around.store, (row) => this.#rows.push(seen(row)));
    this.context = { ...around, store, commit: (commit) => this.#commit(commit, entriesOf), trail: this };
  }

  /** Takes note of what an answer shows of the rows handed out. */
  show(interaction: Interaction, answer: Answer): void {
    for (const row of shownRows(interaction, answer, this.#rows, this.around.baseUrl))
      if (!this.#written.has(`${row.type}/${row.id}`)) this.#shown.add(row);
  }

  /** Takes note of an event of the record that is shown: whoever looks into it looks at those whom it is about. */
  showEvent(patients: readonly string[]): void {
    for (const patient of patients) this.#shownEvents.patients.add(patient);
    const { counts } = this.#shownEvents;
    counts.set('AuditEvent', (counts.get('AuditEvent') ?? 0) + 1);
  }

  /** What was shown and is in no entry yet. */
  takeShown(): Touched {
    const touched = this.#shownEvents;
    this.#shownEvents = nothing();
    for (const { type, keys = [] } of this.#shown) {
      addPatients(keys, touched.patients);
      touched.counts.set(type, (touched.counts.get(type) ?? 0) + 1);
    }
    this.#shown = new Set();
    return touched;
  }

  async #commit(commit: Commit, entriesOf: EntriesOf): Promise<Written[]> {
    if (commit.writes.some(({ type }) => type === 'AuditEvent')) {
      const problem =
        'An AuditEvent is a line of the audit record: send it by itself or in a batch; nobody changes one.';
      throw new FhirError('not-supported', problem);
    }
    // A rehearsal writes nothing, and what it showed is recorded when it is answered.
    if (this.around.rehearsed !== undefined || commit.dryRun === true) return this.around.commit(commit);
    const touched = await this.#touchedBy(commit.writes);
    const audit = [...(commit.audit ?? []), ...entriesOf(touched, commit.writes)];
    const written = await this.around.commit({ ...commit, audit });
    for (const [at, { type, id }] of commit.writes.entries()) {
      if (written[at]?.version === 0) continue;
      this.#written.add(`${type}/${id}`);
      this.isCommitted = true;
    }
    return written;
  }

  /** Whose data writes change: as they will be, and as they were. */
  async #touchedBy(writes: readonly Write[]): Promise<Touched> {
    const touched = nothing();
    const named = writes.filter(({ expect }) => expect !== 'absent');
    const before = named.length === 0 ? [] : await this.around.store.readMany(named, everything, PATIENT_KEYS);
    for (const row of before) addPatients(row?.keys ?? [], touched.patients);
    // What an operation has looked at is what it acts on.
    if (this.#isOperation) for (const { keys = [] } of this.#rows) addPatients(keys, touched.patients);
    for (const { type, keys } of writes) {
      addPatients(keys, touched.patients);
      touched.counts.set(type, (touched.counts.get(type) ?? 0) + 1);
    }
    return touched;
  }
}

/** The rows that an answer shows. Those that were only looked at, such as the first of the next page, are left out. */
function shownRows({ kind }: Interaction, answer: Answer, rows: readonly Seen[], baseUrl: string): readonly Seen[] {
  switch (kind) {
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'bundle': {
      const names = fullUrls(answer, baseUrl);
      return rows.filter(({ type, id }) => names.has(`${type}/${id}`));
    }
    default:
      // One resource, a page of versions, or what an operation made its answer of.
      return rows;
  }
}

const HEAD = '{"fullUrl":"';
/** Longer than `fullUrl` ever is. */
const HEAD_BYTES_MAX = 2_048;

/** "Type/id" of the entries of a Bundle: their heads are pieces of their own, in front of the stored bytes. */
function fullUrls({ body }: Answer, baseUrl: string): Set<string> {
  const names = new Set<string>();
  if (body === undefined || body instanceof Uint8Array) return names;
  const start = `${HEAD}${baseUrl}/`;
  for (const piece of body) {
    if (piece[0] !== 0x7b || piece[1] !== 0x22 || piece[2] !== 0x66) continue;
    const head = Buffer.from(piece.buffer, piece.byteOffset, Math.min(piece.length, HEAD_BYTES_MAX)).toString('latin1');
    if (!head.startsWith(start)) continue;
    const [type = '', id = ''] = head.slice(start.length, head.indexOf('"', start.length)).split(/[/#]/);
    names.add(`${type}/${id}`);
  }
  return names;
}
