// A made-up search as it is sent: names and values of a query. https://hl7.org/fhir/R4/search.html#escaping
import type { SearchValue, SlowCriterion, SlowFilter, WordQuery } from './slow-criteria.ts';

const escaped = (text: string): string => text.replace(/[\\,|$]/g, '\\$&');

/** `name=value` of a criterion, encoded. */
export function queryOf(criterion: SlowCriterion): string {
  const [name, value] = pairOf(criterion);
  return `${encodeURIComponent(name).replaceAll('%3A', ':')}=${encodeURIComponent(value)}`;
}

function pairOf(criterion: SlowCriterion): [string, string] {
  switch (criterion.kind) {
    case 'chain': {
      const [name, value] = pairOf(criterion.next);
      return [`${criterion.code}${criterion.target === undefined ? '' : `:${criterion.target}`}.${name}`, value];
    }
    case 'has': {
      const [name, value] = pairOf(criterion.next);
      return [`_has:${criterion.type}:${criterion.code}:${name}`, value];
    }
    case 'parameter': {
      const name = criterion.modifier === undefined ? criterion.code : `${criterion.code}:${criterion.modifier}`;
      return [name, criterion.values.map(valueText).join(',')];
    }
    case 'composite':
      return [criterion.code, criterion.values.map((tuple) => tuple.map(valueText).join('$')).join(',')];
    case 'words':
      return [criterion.code, escaped(wordsText(criterion.asked))];
    case 'list':
      return ['_list', criterion.ids.join(',')];
    case 'filter':
      return ['_filter', filterText(criterion.filter)];
  }
}

function valueText(value: SearchValue): string {
  switch (value.kind) {
    case 'text':
      return escaped(value.text);
    case 'token':
      return value.system === undefined
        ? escaped(value.code ?? '')
        : `${escaped(value.system)}|${escaped(value.code ?? '')}`;
    case 'ordered': {
      const unit = value.code === undefined ? '' : `|${escaped(value.system ?? '')}|${escaped(value.code)}`;
      return `${value.prefix}${value.text}${unit}`;
    }
    case 'of-type':
      return [value.system, value.code, value.value].map(escaped).join('|');
    case 'near': {
      const { latitude, longitude, distance, unit } = value;
      return [latitude, longitude, distance, unit].filter((part) => part !== undefined).join('|');
    }
  }
}

function wordsText(asked: WordQuery): string {
  switch (asked.kind) {
    case 'word':
      return `${asked.text}${asked.isBeginning ? '*' : ''}`;
    case 'not':
      return asked.of.kind === 'word' ? `-${wordsText(asked.of)}` : `NOT (${wordsText(asked.of)})`;
    case 'and':
      return asked.of.map((one) => (one.kind === 'or' ? `(${wordsText(one)})` : wordsText(one))).join(' ');
    case 'or':
      return asked.of.map((one) => (one.kind === 'or' ? `(${wordsText(one)})` : wordsText(one))).join(' OR ');
  }
}

/** Without brackets from left to right; with them wherever that is not what is meant. */
export function filterText(filter: SlowFilter): string {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      const right = filterText(filter.right);
      const isLogical = filter.right.kind === 'and' || filter.right.kind === 'or';
      return `${filterText(filter.left)} ${filter.kind} ${isLogical ? `(${right})` : right}`;
    }
    case 'not':
      return `not (${filterText(filter.of)})`;
    case 'step': {
      const name = filter.target === undefined ? filter.code : `${filter.code}:${filter.target}`;
      return `${name}${filter.where === undefined ? '' : `[${filterText(filter.where)}]`}.${filterText(filter.next)}`;
    }
    case 'compare': {
      const { code, operator, values } = filter;
      return `${code} ${operator} ${filterValue(values)}`;
    }
  }
}

/** A text is all literal; what has parts has their escapes. */
function filterValue(values: readonly SearchValue[]): string {
  const [only] = values;
  const isText = values.length === 1 && only?.kind === 'text';
  return JSON.stringify(isText ? only.text : values.map(valueText).join('$'));
}
