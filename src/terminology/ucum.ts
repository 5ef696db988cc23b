// Quantities in units of UCUM, brought to the base units of their dimension so that they can be compared.
// https://ucum.org/ucum, https://hl7.org/fhir/R4/search.html#quantity
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { limits } from '../base/limits.ts';
import {
  type Decimal,
  decimalOf,
  type Fraction,
  fractionOf,
  inverse,
  parseDecimal,
  reduced,
  type Scale,
  scaled,
  scaleOf,
  sum,
  times,
} from './exact.ts';
import { misstated, specialUnits } from './ucum-special.ts';
import { parseTerm, type Unit } from './ucum-term.ts';

export interface CanonicalQuantity {
  value: number;
  /** Opaque. Two codes can be compared exactly when their units are equal. */
  unit: string;
}

/**
 * The quantity in the base unit of its dimension; undefined when `code` is not a (case-sensitive) UCUM code, `value` is
 * not a decimal, or the result is beyond a double. The number is the double nearest to the exact result wherever the
 * factor is a fraction, so that 5.4 g and 5400 mg give the same one; it grows with the value in every unit.
 */
export function canonicalQuantity(value: string | number, code: string): CanonicalQuantity | undefined {
  const conversion = conversionOf(code);
  if (conversion === undefined) return undefined;
  const decimal = typeof value === 'number' ? decimalOf(value) : parseDecimal(value);
  if (decimal === undefined) return undefined;
  const converted = convert(decimal, conversion);
  return Number.isFinite(converted) ? { value: converted === 0 ? 0 : converted, unit: conversion.unit } : undefined;
}

interface Conversion {
  readonly unit: string;
  readonly scale: Scale;
  /** Added to the value before it is scaled. */
  readonly offset?: Decimal;
  /** Applied to the value times its prefix before it is scaled. */
  readonly of?: (value: number) => number;
  readonly prefix?: Scale;
}

function convert(decimal: Decimal, { scale, offset, of, prefix }: Conversion): number {
  if (of !== undefined && prefix !== undefined) return of(scaled(decimal, prefix)) * scaled(ONE, scale);
  return scaled(offset === undefined ? decimal : sum(decimal, offset), scale);
}

const ONE: Decimal = { digits: 1, exp: 0 };

/** What was found for the codes asked for last, also that they are none. */
const conversions = new Map<string, Conversion | undefined>();

function conversionOf(code: string): Conversion | undefined {
  const known = conversions.get(code);
  if (known !== undefined || conversions.has(code)) return known;
  if (code.length > limits.ucumCodeCharsMax) return undefined;
  const conversion = newConversion(code);
  if (conversions.size >= limits.ucumCodesCachedMax) conversions.clear();
  conversions.set(code, conversion);
  return conversion;
}

function newConversion(code: string): Conversion | undefined {
  const parsed = parseTerm(code, unitOf);
  if (parsed === undefined) return undefined;
  const { factor, dimension, special } = parsed;
  // A count of something is comparable with counts of the same thing, not with every number.
  const unit = code.startsWith('{') && code.indexOf('}') === code.length - 1 ? code : dimensionText(dimension);
  if (special === undefined) return { unit, scale: scaleOf(factor) };
  const { prefix, offset, of } = special;
  if (of !== undefined) return { unit, scale: scaleOf(factor), of, prefix: scaleOf(prefix) };
  const conversion = { unit, scale: scaleOf(times(prefix, factor)) };
  // (value × prefix + offset) × factor = (value + offset / prefix) × prefix × factor
  return offset === undefined ? conversion : { ...conversion, offset: dividedBy(offset, prefix) };
}

/** Prefixes are powers of ten or two, so that a decimal divided by one is a decimal again. */
function dividedBy(decimal: Decimal, prefix: Fraction): Decimal {
  const { num, exp } = reduced(times(fractionOf(decimal), inverse(prefix)));
  return { digits: Number.isSafeInteger(Number(num)) ? Number(num) : num, exp };
}

function dimensionText(dimension: ReadonlyMap<string, number>): string {
  const powers = [...dimension].filter(([, exponent]) => exponent !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  return powers.map(([base, exponent]) => (exponent === 1 ? base : base + exponent)).join('.') || '1';
}

/** What the table says of a symbol. */
interface Atom {
  isMetric: boolean;
  /** Absent for base units and those that are measured in nothing else, such as most arbitrary ones. */
  definition?: { value: string; unit: string };
}

interface Symbols {
  atoms: ReadonlyMap<string, Atom>;
  prefixes: ReadonlyMap<string, Fraction>;
}

const units = new Map<string, Unit | undefined>();
let symbols: Symbols | undefined;

/** The unit of a symbol, with or without a prefix. A symbol that could be read as both is the one without (§11). */
function unitOf(symbol: string): Unit | undefined {
  symbols ??= readSymbols();
  if (symbols.atoms.has(symbol)) return atomUnit(symbol, symbols);
  for (const length of [1, 2]) {
    const prefix = symbols.prefixes.get(symbol.slice(0, length));
    const rest = symbol.slice(length);
    if (prefix !== undefined && symbols.atoms.get(rest)?.isMetric === true)
      return prefixed(atomUnit(rest, symbols), prefix);
  }
  return undefined;
}

function prefixed(unit: Unit | undefined, prefix: Fraction): Unit | undefined {
  if (unit?.special !== undefined) return { ...unit, special: { ...unit.special, prefix } };
  return unit === undefined ? undefined : { ...unit, factor: times(prefix, unit.factor) };
}

function atomUnit(symbol: string, { atoms }: Symbols): Unit | undefined {
  if (units.has(symbol)) return units.get(symbol);
  const unit = definedUnit(symbol, specialUnits[symbol]?.definition ?? atoms.get(symbol)?.definition);
  units.set(symbol, unit);
  return unit;
}

function definedUnit(symbol: string, definition: Atom['definition']): Unit | undefined {
  const special = specialUnits[symbol]?.special;
  if (definition === undefined) {
    const base: Unit = { factor: fractionOf(ONE), dimension: new Map([[symbol, 1]]) };
    return special === undefined ? base : { ...base, special };
  }
  const value = parseDecimal(definition.value);
  const unit = parseTerm(definition.unit, unitOf);
  if (value === undefined || unit === undefined) return undefined;
  const factor = reduced(times(fractionOf(value), unit.factor));
  return { factor, dimension: unit.dimension, ...(special === undefined ? {} : { special }) };
}

/** A table of ucum-lhc: the names of the columns (a list of names is a way to a value) and the rows. */
interface PackedTable {
  config: (string | string[])[];
  data: unknown[][];
}

/**
 * Units and prefixes as they are defined, out of the file that ucum-lhc computes its own tables from: the first code takes
 * 6 ms where the program takes 31, and the decimals are kept that the program rounds. Terms which the file lists besides
 * (`mg/dL`) are left to the grammar.
 */
function readSymbols(): Symbols {
  const path = fileURLToPath(import.meta.resolve('@lhncbc/ucum-lhc/data/ucumDefs.min.json'));
  const { prefixes, units } = JSON.parse(readFileSync(path, 'utf8')) as Record<'prefixes' | 'units', PackedTable>;
  return {
    atoms: new Map(
      rowsOf(units, [
        'source_',
        'csCode_',
        'isBase_',
        'isMetric_',
        'isSpecial_',
        'isArbitrary_',
        'csUnitString_',
        'baseFactorStr_',
      ])
        .filter(([source]) => source === 'UCUM')
        .map(([, code, ...facts]) => [String(code), atomOf(String(code), facts)]),
    ),
    prefixes: new Map(rowsOf(prefixes, ['code_', 'value_']).map(([code, value]) => [String(code), prefixOf(value)])),
  };
}

/** The cells of the columns asked for. */
function rowsOf({ config, data }: PackedTable, names: readonly string[]): unknown[][] {
  const columns = names.map((name) => config.indexOf(name));
  return data.map((row) => columns.map((column) => row[column]));
}

function atomOf(code: string, [isBase, isMetric, isSpecial, isArbitrary, unitText, value]: readonly unknown[]): Atom {
  const unit = misstated[code] ?? String(unitText);
  const isOwnMeasure = isBase === true || isSpecial === true || (isArbitrary === true && unit === '1');
  return {
    isMetric: isBase === true || isMetric === true,
    ...(isOwnMeasure ? {} : { definition: { value: String(value), unit } }),
  };
}

function prefixOf(value: unknown): Fraction {
  const decimal = parseDecimal(String(value));
  if (decimal === undefined) throw new Error('a UCUM prefix is not a number');
  return reduced(fractionOf(decimal));
}
