// Requests by a caller who may not see everything, and what searchsets hold.
import { FhirError, operationOutcome } from '../../../src/base/outcome.ts';
import { keys, parameterPrefix } from '../../../src/fhir/search/keys.ts';
import type { Condition, Filter } from '../../../src/store/store.ts';
import { callerWith } from '../../support/callers.ts';
import { nextLink, type Reply, type TestEngine } from '../../support/engine.ts';

/** Asks as a caller with this filter. `url` is relative to the base, or a link. */
export function askAs({ engine }: TestEngine, filter: Filter) {
  const caller = callerWith(filter);
  return async (url: string, body?: object): Promise<Reply> => {
    const [path = '', query = ''] = url.replace(/^http:\/\/127\.0\.0\.1:8080\/fhir\//, '').split('?', 2);
    const request = {
      method: body === undefined ? ('GET' as const) : ('POST' as const),
      path,
      query,
      header: () => undefined,
      body: Buffer.from(body === undefined ? '' : JSON.stringify(body)),
      signal: new AbortController().signal,
    };
    try {
      const { status, headers, body: pieces = [] } = await engine.perform(request, caller);
      const text = Buffer.concat(pieces instanceof Uint8Array ? [pieces] : [...pieces]).toString('utf8');
      return { status, headers, text, json: text === '' ? undefined : JSON.parse(text) };
    } catch (error) {
      if (!(error instanceof FhirError)) throw error;
      const json = operationOutcome(error.issues);
      return { status: error.status, headers: {}, text: JSON.stringify(json), json };
    }
  };
}

/** Hides whole types. */
export const withoutTypes = (...types: string[]): Filter => ({
  of: (type): Condition => ({ kind: types.includes(type) ? 'none' : 'all' }),
});

/** Hides what has the tag `urn:test|secret`. */
export const withoutSecrets: Filter = {
  of: (type) => ({
    kind: 'not',
    of: { kind: 'key', key: keys.token(parameterPrefix(type, '_tag'), 'secret', 'urn:test') },
  }),
};

export const SECRET = { tag: [{ system: 'urn:test', code: 'secret' }] };

interface Entry {
  resource: { resourceType: string; id: string };
  search: { mode: string };
}

/** "Type/id" of the entries of a mode, in order. */
export const refsOf = (reply: Reply, mode: 'match' | 'include'): string[] =>
  ((reply.json.entry ?? []) as Entry[])
    .filter(({ search }) => search.mode === mode)
    .map(({ resource }) => `${resource.resourceType}/${resource.id}`);

export interface Pages {
  matches: string[];
  includes: string[];
  /** Matches on each page. */
  sizes: number[];
}

/** All pages from a URL on. */
export async function allPages(ask: (url: string) => Promise<Reply>, url: string): Promise<Pages> {
  const pages: Pages = { matches: [], includes: [], sizes: [] };
  for (let next: string | undefined = url; next !== undefined && pages.sizes.length < 500; ) {
    const reply = await ask(next);
    if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.text}`);
    const matches = refsOf(reply, 'match');
    pages.matches.push(...matches);
    pages.includes.push(...refsOf(reply, 'include'));
    pages.sizes.push(matches.length);
    next = nextLink(reply);
  }
  return pages;
}

export const parameters = (...parameter: object[]): object => ({ resourceType: 'Parameters', parameter });

export const said = (reply: Reply): string => reply.json?.issue?.[0]?.diagnostics ?? '';
