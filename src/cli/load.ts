// `careloom load`: files → units → transactions, several under way at once, each through the engine like any client's.
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../app.ts';
import { FhirError, type Issue } from '../base/outcome.ts';
import { systemCaller } from '../fhir/access/callers.ts';
import type { Answer } from '../fhir/interaction.ts';
import { bundleOf, bundleRequest } from './bundle.ts';
import { exitCodes, type Invocation, type Io, UsageError, withApp } from './command.ts';
import { LoadError, type SourceFile } from './load-content.ts';
import { indexParameters } from './load-indexing.ts';
import { type LoadRecord, type LoadState, openLoadRecord } from './load-record.ts';
import { contentHash, sourceFiles, unitsOf } from './load-source.ts';
import { isThere } from './load-unchanged.ts';
import type { Unit } from './load-unit.ts';
import { countTable, createProgress, type Progress } from './progress.ts';

/** Entries that go in one transaction: the cost of a commit is shared by so many. */
const entriesAtOnce = 100;

/** Bytes of bundles under way at once; one that is larger goes alone. */
const bytesAtOnceMax = 64 * 1024 * 1024;

/** Failed positions kept for the second try. */
const failuresKeptMax = 10_000;

/** Waits while the store cannot be reached, ms. */
const patience = [1_000, 2_000, 4_000, 8_000, 15_000];

const parallelDefault = 4;
const parallelMax = 32;

export async function load(invocation: Invocation): Promise<number> {
  const { operands, values, io } = invocation;
  if (operands.length === 0) throw new UsageError('load needs files or folders');
  const parallel = Number(values.parallel ?? parallelDefault);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > parallelMax) {
    throw new UsageError(`--parallel takes a number from 1 to ${parallelMax}`);
  }
  const files = await sourceFiles(operands);
  return withApp(invocation, async (app) => {
    const options = { parallel, isAgain: values.again === true, tellsDiagnostics: values.diagnostics === true };
    return new Loader(app, io, options).run(files);
  });
}

interface LoaderOptions {
  parallel: number;
  /** Load what was loaded before, too. */
  isAgain: boolean;
  tellsDiagnostics: boolean;
}

/** Why an entry failed. */
interface Reason {
  status: number;
  issues: readonly Pick<Issue, 'code' | 'diagnostics' | 'expression'>[];
}

/** A bundle to send: some units of one file. */
interface Parcel {
  mode: 'transaction' | 'put' | 'batch';
  positions: number[];
  types: string[];
  identities: string[];
  bytes: number;
  entries: Uint8Array[];
}

/** One file on its way in. */
interface Journey {
  file: SourceFile;
  record: LoadRecord;
  /** Failed positions with the reason of the last try. */
  failures: Map<number, Reason | string>;
  /** What units are called that have a name, by position. */
  names: Map<number, string>;
  /** Positions before this one are settled; those beyond it that are, too. */
  settledUpTo: number;
  settledBeyond: Set<number>;
  isComplete: boolean;
  savedAt: number;
}

const saveEveryMs = 2_000;

class Loader {
  readonly #app: App;
  readonly #io: Io;
  readonly #options: LoaderOptions;
  readonly #written = new Map<string, number>();
  readonly #inWork = new Set<Promise<void>>();
  readonly #identitiesInWork = new Set<string>();
  #bytesInWork = 0;
  /** Resources that were there already as they are to be. */
  #unchanged = 0;
  #failure: unknown;
  #progress: Progress | undefined;

  constructor(app: App, io: Io, options: LoaderOptions) {
    this.#app = app;
    this.#io = io;
    this.#options = options;
  }

  async run(files: readonly SourceFile[]): Promise<number> {
    const startedAt = performance.now();
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#progress = createProgress(this.#io, { label: 'load', total });
    const journeys: Journey[] = [];
    let skipped = 0;
    let bytesBefore = 0;
    let unreadable = 0;
    for (const file of files) {
      if (this.#io.signal.aborted) break;
      const journey = await this.#begin(file);
      if (journey === undefined) skipped++;
      else {
        journeys.push(journey);
        unreadable += await this.#travel(journey, { bytesBefore });
      }
      bytesBefore += file.bytes;
    }
    await this.#drain();
    // Those that were interrupted, or broke off.
    for (const journey of journeys) if (!journey.isComplete) await this.#save(journey, false);
    await this.#tryAgain(journeys.filter(({ isComplete, failures }) => isComplete && failures.size > 0));
    this.#progress.end();
    const failed = this.#tellFailures(journeys);
    this.#tellResult({ seconds: (performance.now() - startedAt) / 1000, skipped });
    await this.#index();
    return failed + unreadable > 0 || this.#io.signal.aborted ? exitCodes.failed : exitCodes.ok;
  }

  /** undefined when the file was loaded before. */
  async #begin(file: SourceFile): Promise<Journey | undefined> {
    const { isAgain } = this.#options;
    const record = await openLoadRecord(this.#app.store.records, await contentHash(file.path), isAgain);
    const { position, failed, isComplete } = record.state;
    if (isComplete && failed.length === 0) return undefined;
    return {
      file,
      record,
      failures: new Map(failed.map((at) => [at, 'failed in an earlier run'])),
      names: new Map(),
      settledUpTo: position,
      settledBeyond: new Set(),
      isComplete: false,
      savedAt: performance.now(),
    };
  }

  /** First try of a file; 1 when it could not be read, else 0. */
  async #travel(journey: Journey, { bytesBefore }: { bytesBefore: number }): Promise<number> {
    const { record, settledUpTo } = journey;
    const wanted = new Set(record.state.failed);
    const isWanted = (position: number) => position >= settledUpTo || wanted.has(position);
    try {
      const hadBatch = await this.#send(journey, isWanted, bytesBefore);
      // What a batch creates, others tend to look up by identifier; and a file is complete only when all is settled.
      if (hadBatch) await this.#drain();
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
      this.#tell(error.message);
      return 1;
    }
    if (!this.#io.signal.aborted) this.#completeLater(journey);
    return 0;
  }

  /** Sends the wanted units of a file; true when there were entries of a batch among them. */
  async #send(journey: Journey, isWanted: (position: number) => boolean, bytesBefore: number): Promise<boolean> {
    const { signal } = this.#io;
    const onRead = (bytes: number) => this.#progress?.update(bytesBefore + bytes, `${this.#total()} resources`);
    let hadBatch = false;
    let parcel: Parcel | undefined;
    for await (const unit of unitsOf(journey.file, { signal: new AbortController().signal, onRead })) {
      if (signal.aborted) break;
      if (!isWanted(unit.position)) continue;
      if ('name' in unit) journey.names.set(unit.position, unit.name);
      if (unit.kind === 'unreadable') {
        this.#fail(journey, unit.position, unit.problem);
        this.#settle(journey, [unit.position]);
        continue;
      }
      if (await this.#isThere(unit, parcel)) {
        this.#unchanged++;
        journey.failures.delete(unit.position);
        this.#settle(journey, [unit.position]);
        continue;
      }
      if (unit.kind === 'entry' && unit.mode === 'batch') hadBatch = true;
      if (parcel !== undefined && !fits(parcel, unit)) {
        await this.#dispatch(journey, parcel);
        parcel = undefined;
      }
      parcel = packed(parcel, unit);
    }
    if (parcel !== undefined && !signal.aborted) await this.#dispatch(journey, parcel);
    return hadBatch;
  }

  /** What is on its way under the same identity decides what will be there. */
  async #isThere(unit: Sendable, parcel: Parcel | undefined): Promise<boolean> {
    if (unit.kind === 'transaction' || unit.unlessThere === undefined || unit.identity === undefined) return false;
    const { identity, unlessThere } = unit;
    if (this.#identitiesInWork.has(identity) || parcel?.identities.includes(identity)) return false;
    return isThere(identity, unlessThere, this.#app.engine);
  }

  /** Waits for room, then sends without waiting for the answer. */
  async #dispatch(journey: Journey, parcel: Parcel): Promise<void> {
    while (this.#inWork.size > 0 && !this.#hasRoom(parcel)) await Promise.race(this.#inWork);
    if (this.#failure !== undefined) throw this.#failure;
    this.#bytesInWork += parcel.bytes;
    for (const identity of parcel.identities) this.#identitiesInWork.add(identity);
    const work = this.#deliver(journey, parcel)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#inWork.delete(work);
        this.#bytesInWork -= parcel.bytes;
        for (const identity of parcel.identities) this.#identitiesInWork.delete(identity);
      });
    this.#inWork.add(work);
  }

  /** Two versions of one resource must not overtake each other. */
  #hasRoom({ bytes, identities }: Parcel): boolean {
    return (
      this.#inWork.size < this.#options.parallel &&
      this.#bytesInWork + bytes <= bytesAtOnceMax &&
      !identities.some((identity) => this.#identitiesInWork.has(identity))
    );
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#inWork);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #deliver(journey: Journey, parcel: Parcel): Promise<void> {
    const responses = await this.#responses(parcel);
    for (const [index, response] of responses.entries()) {
      const position = parcel.positions[parcel.mode === 'transaction' ? 0 : index] ?? 0;
      if ('issues' in response) {
        this.#fail(journey, position, response);
      } else {
        const type = parcel.types[index] ?? response.type;
        this.#written.set(type, (this.#written.get(type) ?? 0) + 1);
        journey.failures.delete(position);
      }
    }
    this.#settle(journey, parcel.positions);
    if (performance.now() - journey.savedAt > saveEveryMs) await this.#save(journey, false);
  }

  async #responses(parcel: Parcel): Promise<(Reason | { type: string })[]> {
    const [whole] = parcel.entries;
    if (parcel.mode === 'transaction' && whole !== undefined) {
      const answer = await this.#post(whole);
      return 'issues' in answer ? [answer] : entryResponses(answer);
    }
    if (parcel.mode === 'put' && parcel.entries.length > 1) {
      const answer = await this.#post(bundleOf('transaction', parcel.entries));
      if (!('issues' in answer)) return entryResponses(answer);
    }
    // One bad entry spoils a transaction: as a batch, the others go in and it is named.
    const answer = await this.#post(bundleOf('batch', parcel.entries));
    return 'issues' in answer ? parcel.entries.map(() => answer) : entryResponses(answer);
  }

  /** The answer, or why there is none. Waits out a store that is away; a fault of ours is thrown. */
  async #post(bundle: Uint8Array): Promise<Answer | Reason> {
    for (let attempt = 0; ; attempt++) {
      try {
        // A load that is stopped lets what is under way finish, so that the record tells what was done.
        return await this.#app.engine.perform(bundleRequest(bundle, new AbortController().signal), systemCaller);
      } catch (error) {
        if (!(error instanceof FhirError) || error.kind === 'fault') throw error;
        const pause = patience[attempt];
        if (error.kind !== 'unavailable') return { status: error.status, issues: error.issues };
        if (pause === undefined || this.#io.signal.aborted) throw new LoadError('the store cannot be reached', error);
        await sleep(pause);
      }
    }
  }

  /** Once more what failed: what it referred to conditionally may have come in a later file. */
  async #tryAgain(journeys: readonly Journey[]): Promise<void> {
    if (this.#total() === 0) return;
    for (const journey of journeys) {
      if (this.#io.signal.aborted) return;
      const failed = new Set(journey.failures.keys());
      await this.#send(journey, (position) => failed.has(position), 0);
      await this.#drain();
      await this.#save(journey, true);
    }
  }

  #fail(journey: Journey, position: number, reason: Reason | string): void {
    if (journey.failures.size < failuresKeptMax) journey.failures.set(position, reason);
    else this.#tellFailure(journey, position, reason);
  }

  #settle(journey: Journey, positions: readonly number[]): void {
    for (const position of positions) if (position >= journey.settledUpTo) journey.settledBeyond.add(position);
    while (journey.settledBeyond.delete(journey.settledUpTo)) journey.settledUpTo++;
  }

  /** The last parcels of a file may still be under way: its record says "complete" only once they are not. */
  #completeLater(journey: Journey): void {
    const underWay = [...this.#inWork];
    const settled = Promise.all(underWay).then(() => this.#save(journey, true));
    const work: Promise<void> = settled
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.#inWork.delete(work));
    this.#inWork.add(work);
  }

  async #save(journey: Journey, isComplete: boolean): Promise<void> {
    journey.savedAt = performance.now();
    journey.isComplete = isComplete;
    const state: LoadState = { position: journey.settledUpTo, failed: [...journey.failures.keys()], isComplete };
    await journey.record.save(state);
  }

  #total(): number {
    let total = 0;
    for (const count of this.#written.values()) total += count;
    return total;
  }

  #tellFailures(journeys: readonly Journey[]): number {
    let failed = 0;
    for (const journey of journeys) {
      for (const [position, reason] of [...journey.failures].sort(([a], [b]) => a - b)) {
        failed++;
        this.#tellFailure(journey, position, reason);
      }
    }
    return failed;
  }

  #tellFailure({ file, names }: Journey, position: number, reason: Reason | string): void {
    this.#tell(`${file.path}: ${names.get(position) ?? `entry ${position + 1}`}: ${this.#words(reason)}`);
  }

  #words(reason: Reason | string): string {
    if (typeof reason === 'string') return reason;
    const issues = reason.issues.map(({ code, expression = '', diagnostics }) =>
      [code, expression, this.#options.tellsDiagnostics ? diagnostics : ''].filter((part) => part !== '').join(' '),
    );
    return `${reason.status} ${issues.join('; ')}`;
  }

  #tell(line: string): void {
    this.#progress?.end();
    this.#io.err.write(`${line}\n`);
  }

  #tellResult({ seconds, skipped }: { seconds: number; skipped: number }): void {
    const total = this.#total();
    if (skipped > 0) this.#io.out.write(`${skipped} files were loaded before; --again loads them once more\n`);
    if (this.#unchanged > 0) this.#io.out.write(`${this.#unchanged} resources were there already, unchanged\n`);
    this.#io.out.write(countTable(this.#written));
    this.#io.out.write(`${seconds.toFixed(1)} s, ${Math.round(total / Math.max(seconds, 0.001))} resources/s\n`);
    if (this.#io.signal.aborted) this.#tell('interrupted; the same command goes on from here');
  }

  /** Search parameters that were loaded can be searched by once what is stored is indexed for them. */
  async #index(): Promise<void> {
    if (!this.#written.has('SearchParameter') || this.#io.signal.aborted) return;
    this.#io.out.write('indexing the search parameters\n');
    const isDone = await indexParameters(this.#app, this.#io.signal);
    this.#io.out.write(`${isDone ? 'indexed' : 'not all are indexed; the server goes on with it when it runs'}\n`);
  }
}

type Sendable = Exclude<Unit, { kind: 'unreadable' }>;

function fits(parcel: Parcel, unit: Sendable): boolean {
  if (unit.kind === 'transaction' || unit.mode !== parcel.mode) return false;
  if (parcel.positions.length >= entriesAtOnce || parcel.bytes + unit.entry.length > bytesAtOnceMax) return false;
  return unit.identity === undefined || !parcel.identities.includes(unit.identity);
}

function packed(parcel: Parcel | undefined, unit: Sendable): Parcel {
  const { position } = unit;
  if (unit.kind === 'transaction') {
    const { bundle } = unit;
    const alone = { positions: [position], types: [], identities: [], bytes: bundle.length, entries: [bundle] };
    return { mode: 'transaction', ...alone };
  }
  const into = parcel ?? { mode: unit.mode, positions: [], types: [], identities: [], bytes: 0, entries: [] };
  into.positions.push(position);
  into.types.push(unit.type);
  if (unit.identity !== undefined) into.identities.push(unit.identity);
  into.bytes += unit.entry.length;
  into.entries.push(unit.entry);
  return into;
}

interface EntryResponse {
  status?: string;
  location?: string;
  outcome?: { issue?: { code: Issue['code']; diagnostics?: string; expression?: string[] }[] };
}

/** What became of each entry of a batch or transaction. */
function entryResponses({ body = [] }: Answer): (Reason | { type: string })[] {
  const text = Buffer.concat(body instanceof Uint8Array ? [body] : body).toString('utf8');
  const { entry = [] } = JSON.parse(text) as { entry?: { response?: EntryResponse }[] };
  return entry.map(({ response = {} }) => {
    const status = Number.parseInt(response.status ?? '0', 10);
    if (status >= 200 && status < 400) {
      return { type: /([A-Za-z]+)\/[^/]+(?:\/_history\/[^/]+)?$/.exec(response.location ?? '')?.[1] ?? 'other' };
    }
    const issues = response.outcome?.issue ?? [];
    return {
      status,
      issues: issues.map(({ code, diagnostics = '', expression }) => ({
        code,
        diagnostics,
        ...(expression?.[0] === undefined ? {} : { expression: expression[0] }),
      })),
    };
  });
}
