// A load that remembers what it was promised: concurrent creates, updates, deletes, transactions and conditional creates
// over HTTP, each with content of its own. After a crash, `check` compares what is there with what was acknowledged.
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { below, pick, type Random } from './random-search.ts';

const SYSTEM = 'urn:crash';
const CONDITION_SYSTEM = 'urn:crash-once';
const DELETED = 'deleted';
const GETS_AT_ONCE = 200;
const SHARED_RESOURCES = 3;
const WRITTEN_AGAIN = /^Patient\/(own|shared)-/;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** What is known of one resource: versions that were acknowledged, and contents whose write was never answered. */
interface Track {
  known: Map<number, string>;
  open: string[];
  isTouched: boolean;
}

interface SentTransaction {
  marker: string;
  observations: number;
  /** The resource that it also updates. */
  updated: string;
  isAcknowledged: boolean;
}

interface Once {
  ids: Set<string>;
  created: number;
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as loosely as JSON is
type Json = any;

export class CrashLoad {
  /** What contradicts a promise, one sentence each. */
  readonly problems: string[] = [];
  readonly counts = { acknowledged: 0, unanswered: 0, unavailable: 0, refused: 0 };
  readonly #random: Random;
  readonly #tracks = new Map<string, Track>();
  #creates: string[] = [];
  #transactions: SentTransaction[] = [];
  readonly #once = new Map<string, Once>();
  #touchedOnce = new Set<string>();
  #round = 0;
  #marks = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Sends until `until` is aborted; resolves when every request was answered or its connection broke. */
  async drive(url: string, options: { workers: number; until: AbortSignal }): Promise<void> {
    this.#round++;
    const agent = new Agent({ keepAlive: true, maxSockets: options.workers });
    const drive: Drive = { url, agent, until: options.until };
    await Promise.all(Array.from({ length: options.workers }, (_, at) => this.#work(at, drive)));
    agent.destroy();
  }

  /** Writes once more to all that the crash may have caught in the middle; nothing of it may stand in the way now. */
  async retry(url: string): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const drive: Drive = { url, agent, until: AbortSignal.abort() };
    const refs = [...this.#tracks].filter(([ref, { isTouched }]) => isTouched && WRITTEN_AGAIN.test(ref));
    const answers = await Promise.all([
      ...refs.map(([ref]) => this.#put(ref, drive)),
      ...[...this.#touchedOnce].map((key) => this.#createOnce(key, drive)),
    ]);
    const failed = answers.filter((status) => status === undefined || status >= 400);
    if (failed.length > 0) {
      this.problems.push(`${failed.length} of ${answers.length} writes after the start were answered ${failed[0]}`);
    }
    agent.destroy();
  }

  /** Compares the server's content with what was promised: of what was touched since the last check, or of all. */
  async check(url: string, options: { all: boolean }): Promise<void> {
    const agent = new Agent({ keepAlive: true });
    const get = (paths: readonly string[]) => getAll(url, agent, paths);
    await this.#checkCreates(get);
    await this.#checkTransactions(get);
    await this.#checkOnce(get, options.all);
    const refs = [...this.#tracks].filter(([, track]) => options.all || track.isTouched).map(([ref]) => ref);
    const histories = await get(refs.map((ref) => `${ref}/_history?_count=500`));
    for (const [at, ref] of refs.entries()) this.#compare(ref, histories[at]);
    this.#checkUpdatesOfTransactions();
    agent.destroy();
  }

  // ---- the load ----

  async #work(worker: number, drive: Drive): Promise<void> {
    const own = `Patient/own-${this.#round}-${worker}`;
    const steps = [
      () => this.#put(own, drive),
      () => this.#put(own, drive),
      () => this.#put(`Patient/shared-${this.#round}-${below(this.#random, SHARED_RESOURCES)}`, drive),
      () => this.#put(`Patient/own-${1 + below(this.#random, this.#round)}-${worker}`, drive),
      () => this.#create(drive),
      () => this.#create(drive),
      () => this.#delete(own, drive),
      () => this.#delete(`Patient/shared-${this.#round}-${below(this.#random, SHARED_RESOURCES)}`, drive),
      () => this.#transact(own, drive),
      () => this.#transact(own, drive),
      () => this.#createOnce(`${this.#round}-${below(this.#random, 40)}`, drive),
      () => this.#createOnce(`${1 + below(this.#random, this.#round)}-${below(this.#random, 40)}`, drive),
    ];
    while (!drive.until.aborted) {
      const status = await pick(this.#random, steps)();
      if (status === undefined || status === 503) await pause(20);
    }
  }

  async #put(ref: string, drive: Drive): Promise<number | undefined> {
    const marker = this.#mark();
    const track = this.#track(ref);
    track.open.push(marker);
    const answer = await this.#send(drive, { method: 'PUT', path: ref, body: patient(marker, idOf(ref)) });
    if (answer?.status === 200 || answer?.status === 201) this.#acknowledge(ref, versionOf(answer), marker);
    else this.#settle(track, marker, answer, [409]);
    return answer?.status;
  }

  async #delete(ref: string, drive: Drive): Promise<number | undefined> {
    const track = this.#track(ref);
    track.open.push(DELETED);
    const answer = await this.#send(drive, { method: 'DELETE', path: ref });
    // Without an ETag there was nothing to delete.
    if (answer?.status === 204 && answer.headers.etag === undefined) forget(track.open, DELETED);
    else if (answer?.status === 204) this.#acknowledge(ref, versionOf(answer), DELETED);
    else this.#settle(track, DELETED, answer, [409]);
    return answer?.status;
  }

  async #create(drive: Drive): Promise<number | undefined> {
    const marker = this.#mark();
    this.#creates.push(marker);
    const answer = await this.#send(drive, { method: 'POST', path: 'Patient', body: patient(marker) });
    if (answer?.status === 201) {
      forget(this.#creates, marker);
      this.#acknowledge(refIn(answer.headers.location), 1, marker);
    } else if (!isOpen(answer)) {
      this.problems.push(`a create was answered ${answer?.status}: ${answer?.text}`);
    }
    return answer?.status;
  }

  async #createOnce(key: string, drive: Drive): Promise<number | undefined> {
    const body = { ...patient(`once-${key}`), identifier: [...patient(`once-${key}`).identifier, onceIdentifier(key)] };
    const headers = { 'if-none-exist': `identifier=${CONDITION_SYSTEM}|${key}` };
    const once = this.#once.get(key) ?? { ids: new Set(), created: 0 };
    this.#once.set(key, once);
    this.#touchedOnce.add(key);
    const answer = await this.#send(drive, { method: 'POST', path: 'Patient', body, headers });
    if (answer?.status === 201) once.created++;
    if (answer?.status === 201 || answer?.status === 200) {
      const ref = refIn(answer.headers.location);
      once.ids.add(ref);
      this.#acknowledge(ref, 1, `once-${key}`);
    } else if (!isOpen(answer) && answer?.status !== 409) {
      this.problems.push(`a conditional create was answered ${answer?.status}: ${answer?.text}`);
    }
    return answer?.status;
  }

  /** A patient and observations on it, created, and an update of another resource: 5 to 20 entries. */
  async #transact(updated: string, drive: Drive): Promise<number | undefined> {
    const sent: SentTransaction = {
      marker: this.#mark(),
      observations: 3 + below(this.#random, 16),
      updated,
      isAcknowledged: false,
    };
    const track = this.#track(updated);
    track.open.push(sent.marker);
    this.#transactions.push(sent);
    const answer = await this.#send(drive, { method: 'POST', path: '', body: bundleOf(sent) });
    if (answer?.status === 200) {
      sent.isAcknowledged = true;
      for (const { response } of JSON.parse(answer.text).entry as { response: { etag: string; location?: string } }[]) {
        const ref = response.location === undefined ? updated : refIn(response.location);
        this.#acknowledge(ref, numberIn(response.etag), sent.marker);
      }
    } else if (!isOpen(answer)) {
      this.#settle(track, sent.marker, answer, [409]);
      this.#transactions = this.#transactions.filter((one) => one !== sent);
    }
    return answer?.status;
  }

  async #send(
    drive: Drive,
    {
      method,
      path,
      body,
      headers = {},
    }: { method: string; path: string; body?: object; headers?: IncomingHttpHeaders },
  ): Promise<Answer | undefined> {
    const answer = await send(`${drive.url}/fhir/${path}`, { method, agent: drive.agent, body, headers });
    if (answer === undefined) this.counts.unanswered++;
    else if (answer.status === 503) {
      this.counts.unavailable++;
      if (answer.headers['retry-after'] === undefined) this.problems.push('a 503 came without Retry-After');
    } else if (answer.status >= 400) this.counts.refused++;
    else this.counts.acknowledged++;
    return answer;
  }

  #mark(): string {
    return `m${++this.#marks}`;
  }

  #track(ref: string): Track {
    let track = this.#tracks.get(ref);
    if (track === undefined) {
      track = { known: new Map(), open: [], isTouched: true };
      this.#tracks.set(ref, track);
    }
    track.isTouched = true;
    return track;
  }

  #acknowledge(ref: string, version: number, marker: string): void {
    const track = this.#track(ref);
    forget(track.open, marker);
    const known = track.known.get(version);
    if (known !== undefined && known !== marker) {
      this.problems.push(`${ref} version ${version} was acknowledged for ${known} and for ${marker}`);
    }
    track.known.set(version, marker);
  }

  /** An answer that is no success: the write is open after a broken connection or 503, else it must not have happened. */
  #settle(track: Track, marker: string, answer: Answer | undefined, allowed: readonly number[]): void {
    if (isOpen(answer)) return;
    forget(track.open, marker);
    if (!allowed.includes(answer?.status ?? 0)) {
      this.problems.push(`a write was answered ${answer?.status}: ${answer?.text}`);
    }
  }

  // ---- the comparison ----

  #compare(ref: string, history: Json): void {
    const track = this.#track(ref);
    track.isTouched = false;
    const found = new Map<number, string>();
    let expected = history?.entry?.length ?? 0;
    for (const { response, resource } of history?.entry ?? []) {
      const version = numberIn(response.etag);
      if (version !== expected) this.problems.push(`${ref}: version ${version} stands where ${expected} should`);
      expected--;
      found.set(version, resource === undefined ? DELETED : markerIn(resource, ref, this.problems));
    }
    for (const [version, marker] of track.known) {
      const there = found.get(version);
      if (there !== marker) this.problems.push(`${ref}: acknowledged version ${version} (${marker}) is ${there}`);
    }
    for (const [version, marker] of found) {
      if (track.known.has(version)) continue;
      if (!track.open.includes(marker)) this.problems.push(`${ref}: nobody wrote version ${version} (${marker})`);
      forget(track.open, marker);
      track.known.set(version, marker);
    }
    // Whatever was not there now must never appear.
    track.open = [];
  }

  async #checkCreates(get: Get): Promise<void> {
    const markers = this.#creates;
    this.#creates = [];
    const found = await get(markers.map((marker) => searchFor('Patient', marker)));
    for (const [at, marker] of markers.entries()) {
      const ids = idsIn(found[at]);
      if (ids.length > 1) this.problems.push(`one create (${marker}) made ${ids.length}`);
      for (const id of ids) this.#track(`Patient/${id}`).known.set(1, marker);
    }
  }

  async #checkTransactions(get: Get): Promise<void> {
    const patients = await get(this.#transactions.map(({ marker }) => searchFor('Patient', marker)));
    const observations = await get(this.#transactions.map(({ marker }) => searchFor('Observation', marker)));
    for (const [at, sent] of this.#transactions.entries()) {
      // The updated resource carries the marker too while no later update replaced it.
      const created = idsIn(patients[at]).filter((id) => `Patient/${id}` !== sent.updated);
      const linked: Json[] = observations[at]?.entry ?? [];
      const isThere = created.length > 0 || linked.length > 0;
      const isWhole = created.length === 1 && linked.length === sent.observations;
      if (isThere ? !isWhole : sent.isAcknowledged) {
        this.problems.push(
          `transaction ${sent.marker}: ${created.length} of 1 patient and ${linked.length} of ${sent.observations} observations`,
        );
      }
      for (const { resource } of linked) {
        if (resource.subject.reference !== `Patient/${created[0]}`)
          this.problems.push(`transaction ${sent.marker}: a reference leads elsewhere`);
        this.#track(`Observation/${resource.id}`).known.set(1, sent.marker);
      }
      for (const id of created) this.#track(`Patient/${id}`).known.set(1, sent.marker);
      sent.isAcknowledged = isThere;
    }
  }

  /** After the histories were read: a transaction's update is there when its creates are. */
  #checkUpdatesOfTransactions(): void {
    for (const { marker, updated, isAcknowledged } of this.#transactions) {
      const isThere = [...this.#track(updated).known.values()].includes(marker);
      if (isThere !== isAcknowledged) this.problems.push(`transaction ${marker}: its creates and its update disagree`);
      this.#track(updated).isTouched = false;
    }
    this.#transactions = [];
  }

  async #checkOnce(get: Get, all: boolean): Promise<void> {
    const keys = all ? [...this.#once.keys()] : [...this.#touchedOnce];
    this.#touchedOnce = new Set();
    const found = await get(keys.map((key) => `Patient?identifier=${CONDITION_SYSTEM}|${key}`));
    for (const [at, key] of keys.entries()) {
      const { ids, created } = this.#once.get(key) ?? { ids: new Set(), created: 0 };
      const refs = idsIn(found[at]).map((id) => `Patient/${id}`);
      if (refs.length > 1) this.problems.push(`conditional create ${key} made ${refs.length}`);
      if (created > 1) this.problems.push(`conditional create ${key} was answered 201 ${created} times`);
      if ([...ids].some((ref) => !refs.includes(ref))) this.problems.push(`conditional create ${key} was lost`);
      for (const ref of refs) {
        ids.add(ref);
        this.#track(ref).known.set(1, `once-${key}`);
      }
    }
  }
}

interface Drive {
  url: string;
  agent: Agent;
  until: AbortSignal;
}

type Get = (paths: readonly string[]) => Promise<Json[]>;

/** Nobody knows whether it happened: no answer came, or one that says that the store could not be reached. */
const isOpen = (answer: Answer | undefined): boolean => answer === undefined || answer.status === 503;

function forget(list: string[], value: string): void {
  const at = list.indexOf(value);
  if (at >= 0) list.splice(at, 1);
}

const idOf = (ref: string): string => ref.slice(ref.indexOf('/') + 1);
const refIn = (location: string | undefined): string =>
  /[A-Z]\w+\/[\w.-]+(?=\/_history)/.exec(location ?? '')?.[0] ?? '';
const numberIn = (etag: string | undefined): number => Number(/\d+/.exec(etag ?? '')?.[0] ?? 0);
const versionOf = (answer: Answer): number => numberIn(answer.headers.etag);
const searchFor = (type: string, marker: string): string => `${type}?identifier=${SYSTEM}|${marker}&_count=100`;
const idsIn = (bundle: Json): string[] => (bundle?.entry ?? []).map((entry: Json) => entry.resource.id);
const onceIdentifier = (key: string): object => ({ system: CONDITION_SYSTEM, value: key });

/** Text that only this marker has, of a length that grows with it. */
const paddingOf = (marker: string): string => `${marker} `.repeat(1 + (numberIn(marker) % 97));

function patient(marker: string, id?: string) {
  const identifier: object[] = [{ system: SYSTEM, value: marker }];
  return {
    resourceType: 'Patient',
    ...(id === undefined ? {} : { id }),
    identifier,
    name: [{ text: paddingOf(marker) }],
  };
}

function bundleOf({ marker, observations, updated }: SentTransaction): object {
  const subject = 'urn:uuid:00000000-0000-4000-8000-000000000001';
  const observation = (at: number): object => ({
    resourceType: 'Observation',
    identifier: [{ system: SYSTEM, value: marker }],
    status: 'final',
    code: { text: paddingOf(marker) },
    subject: { reference: subject },
    valueInteger: at,
  });
  const entry: object[] = [
    { request: { method: 'PUT', url: updated }, resource: patient(marker, idOf(updated)) },
    { fullUrl: subject, request: { method: 'POST', url: 'Patient' }, resource: patient(marker) },
  ];
  for (let at = 0; at < observations; at++)
    entry.push({ request: { method: 'POST', url: 'Observation' }, resource: observation(at) });
  return { resourceType: 'Bundle', type: 'transaction', entry };
}

/** The marker of a resource, whose content must be that marker's. */
function markerIn(resource: Json, ref: string, problems: string[]): string {
  const marker: string = resource.identifier?.[0]?.value ?? '';
  const text: string = resource.resourceType === 'Patient' ? resource.name?.[0]?.text : resource.code?.text;
  if (text !== paddingOf(marker)) problems.push(`${ref}: the content of ${marker} is not what was sent`);
  return marker;
}

/** Many reads, as batches. What is not there is undefined. */
async function getAll(url: string, agent: Agent, paths: readonly string[]): Promise<Json[]> {
  const found: Json[] = [];
  for (let at = 0; at < paths.length; at += GETS_AT_ONCE) {
    const entry = paths.slice(at, at + GETS_AT_ONCE).map((path) => ({ request: { method: 'GET', url: path } }));
    const body = { resourceType: 'Bundle', type: 'batch', entry };
    const answer = await send(`${url}/fhir`, { method: 'POST', agent, body, headers: {} });
    if (answer?.status !== 200) throw new Error(`a batch of reads was answered ${answer?.status}: ${answer?.text}`);
    for (const { response, resource } of JSON.parse(answer.text).entry) {
      const status = Number(response.status.slice(0, 3));
      if (status !== 200 && status !== 404) throw new Error(`a read was answered ${JSON.stringify(response)}`);
      found.push(status === 200 ? resource : undefined);
    }
  }
  return found;
}

/** One request; undefined when the connection broke before the whole answer was there. */
export function send(
  url: string,
  options: { method: string; agent: Agent; body?: object | undefined; headers: IncomingHttpHeaders },
): Promise<Answer | undefined> {
  const { method, agent, body, headers } = options;
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  return new Promise((resolve) => {
    const fail = (): void => resolve(undefined);
    const sent = request(
      url,
      {
        method,
        agent,
        headers: {
          ...headers,
          ...(bytes === undefined ? {} : { 'content-type': 'application/fhir+json', 'content-length': bytes.length }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('close', fail);
        response.on('end', () => {
          if (!response.complete) fail();
          else
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString('utf8'),
            });
        });
      },
    );
    sent.on('error', fail);
    sent.end(bytes);
  });
}
