// A search by a composite parameter as stretches of its lists; composite.ts says what stands where in a key.
// https://hl7.org/fhir/R4/search.html#composite
import { FhirError } from '../../base/outcome.ts';
import type { SearchParameter } from '../../model/definitions.ts';
import type { Condition, Key, Slice } from '../../store/store.ts';
import {
  type DateContext,
  dateAlternatives,
  inBaseUnit,
  numberAlternatives,
  parsePrefixed,
  quantityParts,
  readNumber,
  searchedRange,
} from './compile-ordered.ts';
import {
  ANY_SYSTEM,
  type Component,
  codeDigest,
  componentsOf,
  IMPLICIT_SYSTEM,
  systemDigest,
  unitDigest,
} from './composite.ts';
import { or, span } from './conditions.ts';
import {
  DIGEST_CHARS,
  encodeNumber,
  encodeTime,
  NUMBER_CHARS,
  shortDigest,
  spans,
  stringStart,
  TIME_CHARS,
} from './keys.ts';
import { unitOf } from './quantity.ts';
import { literalValue, splitUnescaped } from './query.ts';
import { type IndexContext, referenceTarget } from './values.ts';

/** Bounds of one place of a key, both inclusive; without any, the place may hold anything. */
interface Place {
  length: number;
  atLeast?: string;
  atMost?: string;
}

/** A list and its places in order. */
interface Layout {
  list: 'k' | 'K' | 'w' | 'W';
  places: readonly Place[];
}

type Context = IndexContext & DateContext;

const ANY_DIGEST: Place = { length: DIGEST_CHARS };
const exactly = (text: string): Place => ({ length: text.length, atLeast: text, atMost: text });

/** One value of a composite parameter, `first$second`; the lists stand under `prefix`. */
export function compositeCondition(
  parameter: SearchParameter,
  prefix: Key,
  value: string,
  name: string,
  context: Context,
): Condition {
  const components = componentsOf(context.definitions, parameter);
  if (components === undefined)
    throw new FhirError('not-supported', `"${name}" joins parameters that are not known here.`);
  const parts = splitUnescaped(value, '$');
  const [first, ...others] = components;
  const [firstText = '', ...otherTexts] = parts;
  if (first === undefined || parts.length !== components.length || parts.includes('')) {
    const form = components.map((component) => component.parameter.code).join('$');
    throw new FhirError('invalid', `"${name}" takes ${components.length} values joined by "$": ${form}.`);
  }
  const heads = firstPlaces(first, firstText, context);
  if (others[0]?.parameter.type === 'string')
    return or(heads.flatMap((head) => textSpans(prefix, head, otherTexts[0])));
  const layouts = others.reduce<Layouts>(
    (before, component, at) => joined(before, otherPlaces(component, otherTexts[at] ?? '', name, context)),
    [{ list: 'k', main: [], tail: [] }],
  );
  return or(heads.flatMap((head) => layouts.map((layout) => layoutSpan(prefix, layoutOf(head, layout)))));
}

// ---- the first component ----

interface Head {
  code: Place;
  system: Place;
}

/** The places of the first component: one alternative for each system that is meant. */
function firstPlaces({ parameter }: Component, text: string, context: Context): Head[] {
  if (parameter.type === 'reference') {
    return referenceDigests(parameter, literalValue(text), context).map((code) => ({ code, system: ANY_DIGEST }));
  }
  if (parameter.type === 'uri') return [{ code: exactly(shortDigest(literalValue(text))), system: ANY_DIGEST }];
  return tokenPlaces(text);
}

/** `code`, `system|code`, `|code`, `system|`. */
function tokenPlaces(text: string): Head[] {
  const [first = '', second, ...more] = splitUnescaped(text, '|').map(literalValue);
  if (second === undefined) return [{ code: exactly(codeDigest(first)), system: ANY_DIGEST }];
  const rest = [second, ...more].join('|');
  const code = rest === '' ? ANY_DIGEST : exactly(codeDigest(rest));
  const own = { code, system: exactly(systemDigest(first)) };
  // An element of type code carries no system in the data; the one that its binding implies is taken as given.
  return rest === '' ? [own] : [own, { code, system: exactly(IMPLICIT_SYSTEM) }];
}

function referenceDigests(parameter: SearchParameter, text: string, context: Context): Place[] {
  if (!/^[A-Za-z0-9\-.]{1,64}$/.test(text)) return [exactly(shortDigest(referenceTarget(text, context) ?? text))];
  const types = parameter.targets.length > 0 ? parameter.targets : context.definitions.resourceTypes;
  return types.map((type) => exactly(shortDigest(`${type}/${text}`)));
}

// ---- the others ----

/** Alternatives of what follows the first component's code, and of what follows its system. */
type Layouts = readonly { list: Layout['list']; main: readonly Place[]; tail: readonly Place[] }[];

function joined(before: Layouts, next: Layouts): Layouts {
  return before.flatMap((one) =>
    next.map(({ list, main, tail }) => ({ list, main: [...one.main, ...main], tail: [...one.tail, ...tail] })),
  );
}

const fixed = (main: readonly Place[], tail: Place = ANY_DIGEST): Layouts[number] => ({
  list: 'k',
  main,
  tail: [tail],
});

function otherPlaces({ parameter }: Component, text: string, name: string, context: Context): Layouts {
  switch (parameter.type) {
    case 'token':
      return tokenPlaces(text).map(({ code, system }) => fixed([code], system));
    case 'reference':
      return referenceDigests(parameter, literalValue(text), context).map((code) => fixed([code]));
    case 'uri':
      return [fixed([exactly(shortDigest(literalValue(text)))])];
    case 'number':
      return numberAlternatives(readNumber(parsePrefixed(literalValue(text)), name)).flatMap((bounds) =>
        bounds.of === 'point' ? [fixed([numberPlace(bounds.from, bounds.to)])] : [],
      );
    case 'date': {
      const { prefix, text: date } = parsePrefixed(literalValue(text));
      const range = searchedRange(date, name, context.timeZone);
      return dateAlternatives(prefix, range, context.now).map(({ lowFrom, lowTo, highFrom, highTo }) =>
        fixed([timePlace(lowFrom, lowTo), timePlace(highFrom, highTo)]),
      );
    }
    default:
      return quantityPlaces(text, name);
  }
}

function quantityPlaces(text: string, name: string): Layouts {
  const { number, system, code } = quantityParts(text, name);
  const searched = readNumber(number, name);
  const unit = system === '' || code === '' ? undefined : unitOf(system, code);
  if (unit === undefined) {
    const tail = code === '' ? ANY_DIGEST : exactly(shortDigest(code));
    return numberAlternatives(searched).map((bounds) =>
      bounds.of === 'point'
        ? fixed([numberPlace(bounds.from, bounds.to)], tail)
        : {
            list: 'w',
            main: [numberPlace(bounds.lowFrom, bounds.lowTo), numberPlace(bounds.highFrom, bounds.highTo)],
            tail: [tail],
          },
    );
  }
  const dimension = exactly(unitDigest(system, unit.canonical));
  return numberAlternatives(inBaseUnit(searched, unit)).map((bounds) =>
    bounds.of === 'point'
      ? { list: 'K', main: [dimension, numberPlace(bounds.from, bounds.to)], tail: [] }
      : {
          list: 'W',
          main: [dimension, numberPlace(bounds.lowFrom, bounds.lowTo), numberPlace(bounds.highFrom, bounds.highTo)],
          tail: [],
        },
  );
}

const numberPlace = (from: number | undefined, to: number | undefined): Place => ({
  length: NUMBER_CHARS,
  ...(from === undefined ? {} : { atLeast: encodeNumber(from) }),
  ...(to === undefined ? {} : { atMost: encodeNumber(to) }),
});

const timePlace = (from: number | undefined, to: number | undefined): Place => ({
  length: TIME_CHARS,
  ...(from === undefined ? {} : { atLeast: encodeTime(from) }),
  ...(to === undefined ? {} : { atMost: encodeTime(to) }),
});

// ---- spans ----

function layoutOf({ code, system }: Head, { list, main, tail }: Layouts[number]): Layout {
  return { list, places: [code, ...main, system, ...tail] };
}

/** Exact places lengthen the beginning of the span, the next bounds it, and the others are slices. */
function layoutSpan(prefix: Key, { list, places }: Layout): Condition {
  let start = prefix + list;
  let at = 0;
  for (; at < places.length; at++) {
    const place = places[at];
    if (place?.atLeast === undefined || place.atLeast !== place.atMost) break;
    start += place.atLeast;
  }
  const bounded = places[at];
  const range = {
    from: start + (bounded?.atLeast ?? ''),
    to: `${start}${bounded?.atMost ?? ''}\x7f`,
  };
  const of: Slice[] = [];
  let index = start.length + (bounded?.length ?? 0);
  for (const { length, ...bounds } of places.slice(at + 1)) {
    if (bounds.atLeast !== undefined || bounds.atMost !== undefined) of.push({ at: index, length, ...bounds });
    index += length;
  }
  return span(range, of.length === 0 ? undefined : { kind: 'slices', of });
}

/** A text stands last, so what comes before it has to be exact: a list of its own serves any system. */
function textSpans(prefix: Key, { code, system }: Head, text = ''): Condition[] {
  if (code.atLeast === undefined) {
    throw new FhirError('invalid', 'A composite search by text needs a code before the "$", not a system alone.');
  }
  const start = `${prefix}v${code.atLeast}${system.atLeast ?? ANY_SYSTEM}`;
  return [span(spans.following(`${start}${stringStart(literalValue(text))}`))];
}
