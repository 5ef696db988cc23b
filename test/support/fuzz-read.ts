// Reads and histories at made-up addresses, by every method.
import type { FuzzRequest, Target } from './fuzz-request.ts';
import { anyType } from './fuzz-search.ts';
import { dateText, hostileText, inAddress, many, type Wild, weighted } from './fuzz-values.ts';
import { pick } from './random-search.ts';

export function randomRead(random: Wild, target: Target): FuzzRequest {
  const one = pick(random, target.known);
  const type = anyType(random, target);
  const hostile = (): string => inAddress(random, hostileText(random, 300));
  const history = (): string =>
    `${pick(random, ['_since', '_at', '_count', '_list', '_page', '_sort'])}=${inAddress(random, pick(random, [dateText(random), '1', 'x', '-1', hostileText(random, 60)]))}`;
  const path = weighted(random, [
    [5, () => one],
    [2, () => `${one}/_history/${pick(random, ['1', '2', '99', '0', 'x', '%00', '1'.repeat(70)])}`],
    [2, () => `${one}/_history?${history()}&${history()}`],
    [2, () => `${type}/_history?${history()}`],
    [1, () => `_history?${history()}`],
    [
      1,
      () => `metadata?${pick(random, ['', 'mode=full', 'mode=x', '_format=xml', '_summary=true', '_elements=rest'])}`,
    ],
    [
      1,
      () =>
        `${one}?${pick(random, ['_summary=text', '_elements=id', '_format=xml', '_pretty=true', '_asOf=2026-01-01T00:00:00Z', 'x=y', '_format=%00'])}`,
    ],
    [1, () => `Binary/${pick(random, ['f-1', 'f-2', 'example'])}`],
    [1, () => `${type}/${hostile()}`],
    [1, () => `${hostile()}/${hostile()}`],
    [
      1,
      () =>
        many(random, 8, () =>
          pick(random, [type, 'f-1', '_history', '1', '*', '..', '.', '', '$meta', '_search', hostile()]),
        ).join('/'),
    ],
  ]);
  return {
    method: pick(random, ['GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'POST', 'TRACE', 'PROPFIND']),
    path,
    headers: {},
  };
}
