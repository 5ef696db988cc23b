// Operations, called with made-up parameters by GET and by POST.
import { randomGraphql } from './fuzz-graphql.ts';
import { type FuzzRequest, type Json, json, type Target } from './fuzz-request.ts';
import { anyType, randomQuery } from './fuzz-search.ts';
import {
  chance,
  dateText,
  hostileText,
  inAddress,
  many,
  names,
  oops,
  referenceText,
  tokenText,
  type Wild,
  weighted,
} from './fuzz-values.ts';
import { randomViewRun } from './fuzz-view.ts';
import { below, pick } from './random-search.ts';

export function randomOperation(random: Wild, target: Target): FuzzRequest {
  const type = anyType(random, target);
  const one = pick(random, target.known);
  const calls: readonly (readonly [number, () => FuzzRequest])[] = [
    [
      2,
      () =>
        called(
          random,
          `${pick(random, ['Patient', one, 'Group/f-1'])}/$everything`,
          ['start', 'end', '_since', '_type', '_count', '_page'],
          target,
        ),
    ],
    [3, () => randomGraphql(random, target)],
    [
      2,
      () =>
        called(
          random,
          'Observation/$lastn',
          ['subject', 'patient', 'code', 'category', 'max', 'date', '_include', '_summary'],
          target,
        ),
    ],
    [
      2,
      () =>
        called(
          random,
          'Observation/$stats',
          ['subject', 'code', 'system', 'coding', 'duration', 'period', 'statistic', 'include', 'limit'],
          target,
        ),
    ],
    [2, () => called(random, `${pick(random, ['', `${type}/`, `${one}/`])}$meta`, ['x'], target)],
    [
      2,
      () => ({
        method: 'POST',
        path: `${one}/$meta-${pick(random, ['add', 'delete'])}`,
        headers: jsonHeaders,
        body: json(metaParameters(random)),
      }),
    ],
    [3, () => randomViewRun(random, target)],
    [3, () => plain('GET', `${type}/$explain?${randomQuery(random, type, target)}`)],
    [2, () => plain('GET', `${type}/$why-not?resource=${one}&${randomQuery(random, type, target)}`)],
    [
      2,
      () =>
        plain(
          pick(random, ['GET', 'GET', 'DELETE']),
          `$job-status?id=${pick(random, [...target.jobs, 'x', '%00', hostileEscaped(random)])}`,
        ),
    ],
    [
      1,
      () =>
        plain(
          pick(random, ['GET', 'POST']),
          `${pick(random, ['', `${type}/`, `${one}/`])}$${pick(random, ['x', 'validate', '', '$', 'everything/x', 'meta-add', hostileEscaped(random)])}`,
        ),
    ],
  ];
  return weighted(random, calls);
}

const jsonHeaders = { 'content-type': 'application/fhir+json' };
const plain = (method: string, path: string): FuzzRequest => ({ method, path, headers: {} });
const hostileEscaped = (random: Wild): string => encodeURIComponent(hostileText(random, 200).toWellFormed());

/** By GET with a query, or by POST with Parameters. */
function called(random: Wild, path: string, parameters: readonly string[], target: Target): FuzzRequest {
  const given = many(random, 5, (): [string, string] => {
    const name = oops(random, 0.1) ? pick(random, names) : pick(random, parameters);
    return [name, operationValue(random, name, target)];
  });
  if (chance(random, 0.7)) {
    return plain(
      'GET',
      `${path}?${given.map(([name, value]) => `${encodeURIComponent(name)}=${inAddress(random, value)}`).join('&')}`,
    );
  }
  const kinds = [
    'valueString',
    'valueCode',
    'valueInteger',
    'valueReference',
    'valueCoding',
    'valueDate',
    'valuePeriod',
    'valueUri',
  ];
  const parameter = given.map(([name, value]) => ({
    name,
    [pick(random, kinds)]: chance(random, 0.8) ? value : { system: 'x', code: value },
  }));
  const text = JSON.stringify({ resourceType: 'Parameters', parameter });
  return {
    method: 'POST',
    path,
    headers: jsonHeaders,
    body: Buffer.from(chance(random, 0.05) ? text.slice(0, below(random, text.length)) : text),
  };
}

function operationValue(random: Wild, name: string, target: Target): string {
  if (oops(random, 0.3)) return hostileText(random, 1_000);
  if (['start', 'end', '_since', 'date', 'period'].includes(name)) return dateText(random);
  if (['subject', 'patient'].includes(name)) return referenceText(random, target.known);
  if (name === '_type') return many(random, 5, () => anyType(random, target)).join(',');
  if (name === 'statistic')
    return pick(random, [
      'average',
      'maximum',
      'minimum',
      'count',
      'median',
      'std-dev',
      'skew',
      'kurtosis',
      'regression',
      '20-percent',
      'x',
    ]);
  if (['code', 'coding', 'category', 'system'].includes(name)) return tokenText(random);
  return pick(random, ['0', '1', '5', '-1', '999999999', 'true', 'x', '1.5']);
}

const metaParameters = (random: Wild): Json => ({
  resourceType: 'Parameters',
  parameter: many(random, 2, () => ({
    name: pick(random, ['meta', 'meta', 'x']),
    valueMeta: {
      tag: many(random, 3, () => ({
        system: pick(random, ['urn:x', 'urn:y']),
        code: chance(random, 0.8) ? `t${below(random, 5)}` : hostileText(random, 300),
      })),
      profile: ['http://example.org/p'],
      ...(chance(random, 0.1) ? { [pick(random, names)]: hostileText(random, 50) } : {}),
    },
  })),
});
