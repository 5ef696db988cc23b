// Resources that references lead to, read many at a time and each once, as far as the caller may see them.
import type { Store } from '../../../store/store.ts';
import type { Caller } from '../../interaction.ts';
import type { Budget } from './budget.ts';
import { parseContent, type Resource } from './content.ts';

export interface ResourceKey {
  type: string;
  id: string;
  /** Of a reference to one version. */
  version?: string;
}

/** Resources in one read: bounds what is in memory before it is counted. */
const READ_AT_ONCE = 100;

export class Loader {
  readonly #store: Store;
  readonly #caller: Caller;
  readonly #budget: Budget;
  readonly #known = new Map<string, Resource | undefined>();

  constructor(store: Store, caller: Caller, budget: Budget) {
    this.#store = store;
    this.#caller = caller;
    this.#budget = budget;
  }

  /** Reads what is not known yet. */
  async load(keys: readonly ResourceKey[]): Promise<void> {
    const wanted = new Map(keys.map((key) => [textOf(key), key]));
    const missing = [...wanted.values()].filter((key) => !this.#known.has(textOf(key)));
    const current = missing.filter(({ version }) => version === undefined);
    for (let at = 0; at < current.length; at += READ_AT_ONCE)
      await this.#readMany(current.slice(at, at + READ_AT_ONCE));
    for (const key of missing) if (key.version !== undefined) await this.#readVersion(key, key.version);
  }

  /** What was loaded; undefined for what does not exist, was deleted, or is not for the caller to see. */
  get(key: ResourceKey): Resource | undefined {
    return this.#known.get(textOf(key));
  }

  /** A resource that a search has found. */
  add(resource: Resource): void {
    if (resource.id !== undefined) this.#known.set(textOf({ type: resource.resourceType, id: resource.id }), resource);
  }

  async #readMany(keys: readonly ResourceKey[]): Promise<void> {
    this.#budget.time();
    const rows = await this.#store.readMany(keys, this.#caller.filter);
    for (const [at, key] of keys.entries()) this.#known.set(textOf(key), this.#parsed(rows[at]?.body));
  }

  async #readVersion(key: ResourceKey, version: string): Promise<void> {
    this.#budget.search();
    const row = /^[1-9]\d{0,14}$/.test(version)
      ? await this.#store.readVersion(key.type, key.id, Number(version), this.#caller.filter)
      : undefined;
    this.#known.set(textOf(key), this.#parsed(row?.body));
  }

  #parsed(body: Uint8Array | null | undefined): Resource | undefined {
    if (body === null || body === undefined) return undefined;
    this.#budget.resource(body.length);
    return parseContent(body) as Resource;
  }
}

function textOf({ type, id, version }: ResourceKey): string {
  return version === undefined ? `${type}/${id}` : `${type}/${id}/_history/${version}`;
}
