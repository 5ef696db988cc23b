// What of a resource a server must give back as it was sent.
import { compactJson, memberSpans } from '../../src/model/json.ts';

/** Text of each member in order, without id and meta; the text of meta's members apart, without what the server writes. */
export function contentOf(bytes: Uint8Array): { members: string[]; meta: string[] } {
  const compact = Buffer.from(compactJson(bytes));
  const spans = memberSpans(compact);
  const meta = spans.get('meta');
  const inMeta = meta === undefined ? new Map() : memberSpans(compact, meta.valueStart, meta.valueEnd);
  const texts = (of: ReturnType<typeof memberSpans>, without: readonly string[]): string[] =>
    [...of]
      .filter(([name]) => !without.includes(name))
      .map(([, { nameStart, valueEnd }]) => compact.toString('utf8', nameStart, valueEnd));
  return {
    members: texts(spans, ['resourceType', 'id', 'meta']),
    meta: texts(inMeta, ['versionId', 'lastUpdated']),
  };
}
