// Regular expressions of value set filters, matched in time that grows with the text and never explodes: a step for each
// character follows all ways at once (Thompson's construction). https://hl7.org/fhir/R4/valueset-filter-operator.html
import { limits } from '../base/limits.ts';

/**
 * Whether a whole text matches; undefined when the expression is longer than `limits.regexCharsMax`, grows beyond
 * `limits.regexStatesMax`, or has something else than characters, `.`, classes (`[a-z]`, `\d \w \s`), groups, alternatives
 * and counts. What is given back throws `tooLong` when all its matches together take more than
 * `limits.regexStepsMax` steps.
 */
export function compileRegex(pattern: string, tooLong: () => Error): ((text: string) => boolean) | undefined {
  if (pattern.length > limits.regexCharsMax) return undefined;
  const node = parsed(pattern.replace(/^\^/, '').replace(/(?<!\\)\$$/, ''));
  const start = node === undefined ? undefined : compiled(node);
  if (start === undefined) return undefined;
  let steps = 0;
  return (text) => {
    let states = reach(new Set(), start);
    for (let at = 0; at < text.length; at++) {
      const next = new Set<State>();
      for (const state of states) {
        if (state.test?.(text.charCodeAt(at)) === true && state.next !== undefined) reach(next, state.next);
      }
      steps += states.size + 1;
      if (steps > limits.regexStepsMax) throw tooLong();
      states = next;
    }
    return states.has(END);
  };
}

type Test = (unit: number) => boolean;
type Node =
  | { kind: 'unit'; test: Test }
  | { kind: 'sequence' | 'choice'; nodes: Node[] }
  | { kind: 'repeat'; node: Node; min: number; max: number };

const ESCAPED: Readonly<Record<string, Test>> = {
  d: isDigit,
  D: (unit) => !isDigit(unit),
  w: isWord,
  W: (unit) => !isWord(unit),
  s: isSpace,
  S: (unit) => !isSpace(unit),
  t: is('\t'),
  n: is('\n'),
  r: is('\r'),
};
const LITERAL_ESCAPE = /[-.\\+*?()[\]{}|^$/]/;
const COUNT = /\{(\d{1,4})(,(\d{1,4})?)?\}/y;

function parsed(pattern: string): Node | undefined {
  let at = 0;

  function choice(): Node | undefined {
    const nodes: Node[] = [];
    do {
      const node = sequence();
      if (node === undefined) return undefined;
      nodes.push(node);
    } while (pattern[at] === '|' && ++at);
    return { kind: 'choice', nodes };
  }

  function sequence(): Node | undefined {
    const nodes: Node[] = [];
    while (at < pattern.length && pattern[at] !== '|' && pattern[at] !== ')') {
      const node = repeated(piece());
      if (node === undefined) return undefined;
      nodes.push(node);
    }
    return { kind: 'sequence', nodes };
  }

  function piece(): Node | undefined {
    const char = pattern[at++] ?? '';
    if (char === '(') return group();
    if (char === '[') return unit(characterClass());
    if (char === '\\') return unit(escaped());
    if (char === '.') return unit((code) => code !== 10 && code !== 13);
    return '*+?{}]^$'.includes(char) ? undefined : unit(is(char));
  }

  function group(): Node | undefined {
    if (pattern.startsWith('?:', at)) at += 2;
    else if (pattern[at] === '?') return undefined;
    const node = choice();
    return pattern[at++] === ')' ? node : undefined;
  }

  function escaped(): Test | undefined {
    const char = pattern[at++] ?? '';
    return Object.hasOwn(ESCAPED, char) ? ESCAPED[char] : LITERAL_ESCAPE.test(char) ? is(char) : undefined;
  }

  function characterClass(): Test | undefined {
    const isNegated = pattern[at] === '^' && ++at > 0;
    const tests: Test[] = [];
    while (pattern[at] !== ']' || tests.length === 0) {
      const test = classItem();
      if (test === undefined) return undefined;
      tests.push(test);
    }
    at++;
    return (code) => tests.some((test) => test(code)) !== isNegated;
  }

  /** A character, a range, or an escape. Dialects differ in what `[` and `&&` mean in a class. */
  function classItem(): Test | undefined {
    const char = pattern[at++];
    if (char === undefined || char === '[' || pattern.startsWith('&&', at - 1)) return undefined;
    if (char === '\\') return escaped();
    if (pattern[at] !== '-' || pattern[at + 1] === ']') return is(char);
    const last = pattern[at + 1] ?? '[';
    at += 2;
    return last < char || '[\\'.includes(last) ? undefined : between(char, last);
  }

  function repeated(node: Node | undefined): Node | undefined {
    const count = node === undefined ? undefined : bounds();
    if (node === undefined || count === undefined) return node;
    if (pattern[at] === '?') at++; // as few as possible: the same texts match
    return count.max < count.min ? undefined : { kind: 'repeat', node, ...count };
  }

  function bounds(): { min: number; max: number } | undefined {
    const char = pattern[at] ?? '';
    if ('*+?'.includes(char) && char !== '') {
      at++;
      return { min: char === '+' ? 1 : 0, max: char === '?' ? 1 : Number.POSITIVE_INFINITY };
    }
    COUNT.lastIndex = at;
    const match = COUNT.exec(pattern);
    if (match === null) return undefined;
    at += match[0].length;
    const [, min, open, max] = match;
    return {
      min: Number(min),
      max: open === undefined ? Number(min) : max === undefined ? Number.POSITIVE_INFINITY : Number(max),
    };
  }

  const node = choice();
  return at === pattern.length ? node : undefined;
}

const unit = (test: Test | undefined): Node | undefined => (test === undefined ? undefined : { kind: 'unit', test });

function is(char: string): Test {
  const code = char.charCodeAt(0);
  return (unit) => unit === code;
}

function between(first: string, last: string): Test {
  const [low, high] = [first.charCodeAt(0), last.charCodeAt(0)];
  return (unit) => unit >= low && unit <= high;
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function isWord(unit: number): boolean {
  return isDigit(unit) || (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a) || unit === 0x5f;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d) || unit === 0xa0;
}

/** Takes a character that passes the test on to `next`, or splits into `ways` without taking one. */
interface State {
  test?: Test;
  next?: State;
  ways?: State[];
}

const END: State = {};

/** The first state; undefined when there are too many. */
function compiled(root: Node): State | undefined {
  let left: number = limits.regexStatesMax;

  function before(node: Node, next: State): State {
    if (--left < 0) return next;
    switch (node.kind) {
      case 'unit':
        return { test: node.test, next };
      case 'sequence':
        return node.nodes.reduceRight((after, one) => before(one, after), next);
      case 'choice':
        return { ways: node.nodes.map((one) => before(one, next)) };
      case 'repeat':
        return repeatBefore(node, next);
    }
  }

  function repeatBefore({ node, min, max }: { node: Node; min: number; max: number }, next: State): State {
    let state = next;
    if (max === Number.POSITIVE_INFINITY) {
      const loop: State = { ways: [next] };
      loop.ways?.push(before(node, loop));
      state = loop;
    } else {
      for (let more = max - min; more > 0 && left >= 0; more--) state = { ways: [next, before(node, state)] };
    }
    for (let must = min; must > 0 && left >= 0; must--) state = before(node, state);
    return state;
  }

  const start = before(root, END);
  return left < 0 ? undefined : start;
}

/** Adds the state and all that it leads to without taking a character. */
function reach(states: Set<State>, from: State): Set<State> {
  const open = [from];
  for (const state of open) {
    if (states.has(state)) continue;
    states.add(state);
    if (state.ways !== undefined) open.push(...state.ways);
  }
  return states;
}
