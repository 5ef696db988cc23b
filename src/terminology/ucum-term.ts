// The grammar of UCUM terms and what they mean: a factor and a dimension. https://ucum.org/ucum#section-Grammar-of-Units-and-Unit-Terms
import { limits } from '../base/limits.ts';
import { type Decimal, type Fraction, fractionOf, inverse, one, times } from './exact.ts';

/** What a term stands for: factor × the product of base units to their powers. */
export interface Unit {
  readonly factor: Fraction;
  /** Base unit (`m`, `g`, an arbitrary unit such as `[iU]`) → power. None for a plain number. */
  readonly dimension: ReadonlyMap<string, number>;
  /** For units that are no ratio scale, such as Cel; they stand alone (§21-22). */
  readonly special?: Special;
}

/** value → (value × prefix, with the offset added or the function applied) × the unit's factor. */
export interface Special {
  readonly prefix: Fraction;
  readonly offset?: Decimal;
  readonly of?: (value: number) => number;
}

export const unity: Unit = { factor: one, dimension: new Map() };

const FACTOR_MAX = 1n << BigInt(limits.ucumFactorBitsMax);
const EXPONENT = /[+-]?\d+/y;
const DIGITS = /\d+/y;
/** Printable ASCII between braces (§12). */
const ANNOTATION = /\{[\x21-\x7a\x7c\x7e]+\}/y;
/** Digits and operators are part of a symbol within square brackets only; 10* and 10^ are the exceptions. */
const SYMBOL = /10[*^]|(?:[!#-'*,:-Z\\^-z|~]|\[[\x21-\x5a\x5c\x5e-\x7e]+\])+/y;

/**
 * The unit that a case-sensitive term means; undefined when it is none. `unitOf` knows the symbols, prefixed ones too.
 * Multiplication and division are of one rank, from left to right: `s/m.g` is `(s/m).g`.
 */
export function parseTerm(code: string, unitOf: (symbol: string) => Unit | undefined): Unit | undefined {
  let at = 0;

  function taken(pattern: RegExp): string | undefined {
    pattern.lastIndex = at;
    const text = pattern.exec(code)?.[0];
    at += text?.length ?? 0;
    return text;
  }

  function term(first: Unit | undefined): Unit | undefined {
    let unit = first;
    for (;;) {
      const operator = code[at];
      if (operator !== '.' && operator !== '/') return unit;
      at++;
      unit = product(unit, operator === '.' ? component() : reciprocal(component()));
    }
  }

  function component(): Unit | undefined {
    if (code[at] === '(') {
      at++;
      const inner = term(component());
      return code[at++] === ')' ? inner : undefined;
    }
    if (code[at] === '{') return taken(ANNOTATION) === undefined ? undefined : unity;
    const symbol = taken(SYMBOL);
    const unit = symbol === undefined ? factor(taken(DIGITS)) : power(unitOf(symbol), taken(EXPONENT));
    return code[at] === '{' && taken(ANNOTATION) === undefined ? undefined : unit;
  }

  const unit = term(code[0] === '/' ? unity : component());
  return at === code.length ? unit : undefined;
}

function factor(digits: string | undefined): Unit | undefined {
  if (digits === undefined) return undefined;
  const num = BigInt(digits);
  // Nothing can be measured in units of zero, nor be divided by it.
  return num === 0n ? undefined : { ...unity, factor: fractionOf({ digits: num, exp: 0 }) };
}

function product(a: Unit | undefined, b: Unit | undefined): Unit | undefined {
  if (a === undefined || b === undefined || a.special !== undefined || b.special !== undefined) return undefined;
  const factor = times(a.factor, b.factor);
  if (isTooLarge(factor)) return undefined;
  const dimension = new Map(a.dimension);
  for (const [base, exponent] of b.dimension) dimension.set(base, (dimension.get(base) ?? 0) + exponent);
  return { factor, dimension };
}

function isTooLarge({ num, den }: Fraction): boolean {
  return num > FACTOR_MAX || den > FACTOR_MAX;
}

function reciprocal(unit: Unit | undefined): Unit | undefined {
  if (unit === undefined || unit.special !== undefined) return undefined;
  const dimension = new Map([...unit.dimension].map(([base, exponent]) => [base, -exponent]));
  return { factor: inverse(unit.factor), dimension };
}

function power(unit: Unit | undefined, text: string | undefined): Unit | undefined {
  if (unit === undefined || text === undefined) return unit;
  const exponent = Number(text);
  if (unit.special !== undefined || Math.abs(exponent) > limits.ucumExponentMax) return undefined;
  const factor = fractionPower(exponent < 0 ? inverse(unit.factor) : unit.factor, Math.abs(exponent));
  if (factor === undefined) return undefined;
  return { factor, dimension: new Map([...unit.dimension].map(([base, power]) => [base, power * exponent])) };
}

function fractionPower(fraction: Fraction, exponent: number): Fraction | undefined {
  let power: Fraction = { num: 1n, den: 1n, exp: fraction.exp * exponent };
  if (fraction.num === 1n && fraction.den === 1n) return power;
  for (let step = 0; step < exponent; step++) {
    power = { num: power.num * fraction.num, den: power.den * fraction.den, exp: power.exp };
    if (isTooLarge(power)) return undefined;
  }
  return power;
}
