// Conditions and lists of the index in words, by the names of the search parameters. No values: they may be a patient's.
import type { Definitions } from '../../model/definitions.ts';
import type { Condition, Key, Source } from '../../store/store.ts';
import { parameterPrefix } from '../search/keys.ts';

export type Names = ReadonlyMap<Key, string>;

const namesByDefinitions = new WeakMap<Definitions, Names>();

/** "Observation.code" by the characters that its keys begin with, for all types: chains lead to other ones. */
export function namesOfLists(definitions: Definitions): Names {
  let names = namesByDefinitions.get(definitions);
  if (names === undefined) {
    names = new Map(
      definitions.resourceTypes.flatMap((type) =>
        [...definitions.searchParameters(type).values()].map(
          ({ code, list = code }) => [parameterPrefix(type, list), `${type}.${code}`] as const,
        ),
      ),
    );
    namesByDefinitions.set(definitions, names);
  }
  return names;
}

const LISTS: Readonly<Record<string, string>> = {
  s: 'text',
  x: 'text, further on',
  t: 'code',
  r: 'reference',
  i: 'identifier',
  p: 'URI',
  l: 'begin',
  h: 'end',
  n: 'number',
  q: 'quantity',
  L: 'range, low',
  H: 'range, high',
  Q: 'quantity range, low',
  R: 'quantity range, high',
  k: 'composite',
  K: 'composite, quantity',
  w: 'composite, range',
  W: 'composite, quantity range',
  v: 'composite, text',
  g: 'position',
  '!': 'present',
};

const TERMS: Readonly<Record<string, string>> = {
  u: 'system',
  d: 'display',
  o: 'identifier of a type',
  j: 'system of an identifier',
  w: 'word',
};

function listText(key: Key, names: Names, lists = LISTS): string {
  if (key.startsWith('@type')) return `all ${key.slice(5)}`;
  if (key.startsWith('@pat:')) return 'patient compartment';
  const list = lists[key[4] ?? ''];
  return `${names.get(key.slice(0, 4)) ?? 'a list'}${list === undefined ? '' : ` (${list})`}`;
}

export function sourceText(source: Source, names: Names): string {
  switch (source.kind) {
    case 'ids':
      return `${source.ids.length} ids`;
    case 'type':
      return 'the whole type';
    case 'lastUpdated':
      return 'a stretch of _lastUpdated';
    case 'term':
      return `a term of ${listText(source.term, names, TERMS)}`;
    case 'keys': {
      const texts = source.of.map((part) =>
        'key' in part
          ? `= ${listText(part.key, names)}${part.ord === undefined ? '' : ' within a stretch of clinical dates'}`
          : `a stretch of ${listText(part.from, names)}`,
      );
      return counted(texts);
    }
  }
}

/** The texts with how often each occurs. */
function counted(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => (count === 1 ? text : `${count} × ${text}`)).join(' or ');
}

export function conditionText(condition: Condition, names: Names): string {
  switch (condition.kind) {
    case 'all':
      return 'nothing';
    case 'none':
      return 'never true';
    case 'key':
      return `= ${listText(condition.key, names)}`;
    case 'span':
      return `a stretch of ${listText(condition.from, names)}${condition.within === undefined ? '' : ', each entry checked'}`;
    case 'term':
      return `a term of ${listText(condition.term, names, TERMS)}`;
    case 'ids':
      return `${condition.ids.length} ids`;
    case 'ord':
      return 'a stretch of clinical dates';
    case 'lastUpdated':
      return 'a stretch of _lastUpdated';
    case 'and':
      return condition.of.map((one) => `(${conditionText(one, names)})`).join(' and ');
    case 'or':
      return counted(condition.of.map((one) => conditionText(one, names)));
    case 'not':
      return `not (${conditionText(condition.of, names)})`;
    case 'refers':
      return `refers by ${listText(condition.prefix, names)} to ${condition.to.type} with (${conditionText(condition.to.where, names)})`;
    case 'referred':
      return `referred to by ${listText(condition.prefix, names)} of ${condition.by.type} with (${conditionText(condition.by.where, names)})`;
  }
}
