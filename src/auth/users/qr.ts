// A QR code as SVG, for the one address that an authenticator app scans: byte mode, lowest error correction, versions 1 to 20.
// https://www.iso.org/standard/83389.html (ISO/IEC 18004)
import { Html, html } from '../../base/html.ts';

/** Nothing for a text of more than 858 bytes. */
export function qrSvg(text: string): Html {
  const modules = qrModules(Buffer.from(text));
  if (modules === undefined) return html``;
  const size = modules.length + 2 * QUIET;
  let path = '';
  modules.forEach((row, y) => {
    row.forEach((isDark, x) => {
      if (isDark) path += `M${x + QUIET} ${y + QUIET}h1v1h-1z`;
    });
  });
  return html`<svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label="QR code for the authenticator app" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${new Html(path)}"/></svg>`;
}

const QUIET = 4;
/** Check bytes of each block, and blocks, by version: level L. */
const CHECKS = [0, 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28];
const BLOCKS = [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8];

type Grid = boolean[][];

/** Rows of modules, true for dark. */
export function qrModules(data: Uint8Array): Grid | undefined {
  const version = CHECKS.findIndex((_, v) => v > 0 && data.length <= capacityOf(v));
  if (version < 0) return undefined;
  const drawn = fixedPatterns(version);
  const places = placeBits(drawn, withChecks(codewords(data, version), version));
  let best: { grid: Grid; penalty: number } | undefined;
  for (let mask = 0; mask < 8; mask++) {
    const grid = masked(drawn, places, mask);
    drawFormat(grid, mask);
    const penalty = penaltyOf(grid);
    if (best === undefined || penalty < best.penalty) best = { grid, penalty };
  }
  return best?.grid;
}

const at = (list: readonly number[], index: number): number => list[index] ?? 0;
const dataBytes = (version: number): number =>
  Math.floor(rawModules(version) / 8) - at(CHECKS, version) * at(BLOCKS, version);
/** Mode and length take 12 bits up to version 9, 20 beyond. */
const capacityOf = (version: number): number => dataBytes(version) - (version < 10 ? 2 : 3);

function rawModules(version: number): number {
  const aligned = Math.floor(version / 7) + 2;
  const all = (16 * version + 128) * version + 64;
  return version < 2 ? all : all - ((25 * aligned - 10) * aligned - 55) - (version < 7 ? 0 : 36);
}

function codewords(data: Uint8Array, version: number): Uint8Array {
  const lengthBits = version < 10 ? 8 : 16;
  let bits = `0100${data.length.toString(2).padStart(lengthBits, '0')}`;
  for (const byte of data) bits += byte.toString(2).padStart(8, '0');
  bits += '0000';
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0');
  const bytes = new Uint8Array(dataBytes(version));
  for (let i = 0; i < bytes.length; i++) {
    const byte = bits.slice(i * 8, i * 8 + 8);
    const isPad = byte.length < 8;
    bytes[i] = isPad ? ((i - bits.length / 8) % 2 === 0 ? 0xec : 0x11) : Number.parseInt(byte, 2);
  }
  return bytes;
}

/** Cut into blocks, each with its Reed-Solomon check bytes, interleaved. */
function withChecks(data: Uint8Array, version: number): Uint8Array {
  const blocks = at(BLOCKS, version);
  const checks = at(CHECKS, version);
  const total = Math.floor(rawModules(version) / 8);
  const short = Math.floor(total / blocks) - checks;
  const shortBlocks = blocks - (total % blocks);
  const generator = generatorOf(checks);
  const parts: { data: Uint8Array; check: Uint8Array }[] = [];
  for (let i = 0, from = 0; i < blocks; i++) {
    const length = short + (i < shortBlocks ? 0 : 1);
    const part = data.subarray(from, from + length);
    parts.push({ data: part, check: remainderOf(part, generator) });
    from += length;
  }
  const out: number[] = [];
  for (let i = 0; i <= short; i++) for (const { data: part } of parts) if (i < part.length) out.push(part[i] ?? 0);
  for (let i = 0; i < checks; i++) for (const { check } of parts) out.push(check[i] ?? 0);
  return Uint8Array.from(out);
}

function multiply(x: number, y: number): number {
  let z = 0;
  for (let i = 7; i >= 0; i--) {
    z = (z << 1) ^ ((z >>> 7) * 0x11d);
    z ^= ((y >>> i) & 1) * x;
  }
  return z & 0xff;
}

function generatorOf(degree: number): Uint8Array {
  const result = new Uint8Array(degree);
  result[degree - 1] = 1;
  for (let i = 0, root = 1; i < degree; i++, root = multiply(root, 2)) {
    for (let j = 0; j < degree; j++) result[j] = multiply(result[j] ?? 0, root) ^ (result[j + 1] ?? 0);
  }
  return result;
}

function remainderOf(data: Uint8Array, generator: Uint8Array): Uint8Array {
  const result = new Uint8Array(generator.length);
  for (const byte of data) {
    const factor = byte ^ (result[0] ?? 0);
    result.copyWithin(0, 1);
    result[result.length - 1] = 0;
    generator.forEach((coefficient, i) => {
      result[i] = (result[i] ?? 0) ^ multiply(coefficient, factor);
    });
  }
  return result;
}

/** Undefined: free for data. */
type Draft = (boolean | undefined)[][];

const set = (grid: Draft, x: number, y: number, isDark: boolean): void => {
  const row = grid[y];
  if (row !== undefined && x >= 0 && x < row.length) row[x] = isDark;
};

function fixedPatterns(version: number): Draft {
  const size = version * 4 + 17;
  const grid: Draft = Array.from({ length: size }, () => new Array<boolean | undefined>(size).fill(undefined));
  for (let i = 0; i < size; i++) {
    set(grid, 6, i, i % 2 === 0);
    set(grid, i, 6, i % 2 === 0);
  }
  for (const [x, y] of [
    [3, 3],
    [size - 4, 3],
    [3, size - 4],
  ] as const)
    drawFinder(grid, x, y);
  const places = alignments(version, size);
  const last = places.at(-1);
  for (const x of places) {
    for (const y of places) {
      const isFinder = (x === 6 && (y === 6 || y === last)) || (x === last && y === 6);
      if (!isFinder) drawAlignment(grid, x, y);
    }
  }
  drawFormat(grid, 0);
  if (version >= 7) drawVersion(grid, version);
  return grid;
}

function drawFinder(grid: Draft, x: number, y: number): void {
  for (let dy = -4; dy <= 4; dy++) {
    for (let dx = -4; dx <= 4; dx++) {
      const distance = Math.max(Math.abs(dx), Math.abs(dy));
      set(grid, x + dx, y + dy, distance !== 2 && distance !== 4);
    }
  }
}

function alignments(version: number, size: number): number[] {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const places = [6];
  for (let place = size - 7; places.length < count; place -= step) places.splice(1, 0, place);
  return places;
}

function drawAlignment(grid: Draft, x: number, y: number): void {
  for (let dy = -2; dy <= 2; dy++) {
    for (let dx = -2; dx <= 2; dx++) set(grid, x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }
}

/** Level L and the mask, with a BCH code, twice. */
function drawFormat(grid: Draft, mask: number): void {
  const size = grid.length;
  const data = (1 << 3) | mask;
  let rest = data;
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((data << 10) | rest) ^ 0x5412;
  const bit = (i: number): boolean => ((bits >>> i) & 1) !== 0;
  for (let i = 0; i <= 5; i++) set(grid, 8, i, bit(i));
  set(grid, 8, 7, bit(6));
  set(grid, 8, 8, bit(7));
  set(grid, 7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(grid, 14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(grid, size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(grid, 8, size - 15 + i, bit(i));
  set(grid, 8, size - 8, true);
}

function drawVersion(grid: Draft, version: number): void {
  let rest = version;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const isDark = ((bits >>> i) & 1) !== 0;
    const [a, b] = [grid.length - 11 + (i % 3), Math.floor(i / 3)];
    set(grid, a, b, isDark);
    set(grid, b, a, isDark);
  }
}

/** In columns of two, from the right, up and down. What is left over stays light. The places that hold data: those are masked. */
function placeBits(grid: Draft, bytes: Uint8Array): Set<number> {
  const size = grid.length;
  const places = new Set<number>();
  let next = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      const isUpward = ((right + 1) & 2) === 0;
      const y = isUpward ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (grid[y]?.[x] !== undefined) continue;
        places.add(y * size + x);
        set(grid, x, y, (((bytes[next >>> 3] ?? 0) >>> (7 - (next & 7))) & 1) !== 0);
        next++;
      }
    }
  }
  return places;
}

const MASKS: readonly ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

function masked(grid: Draft, places: ReadonlySet<number>, mask: number): Grid {
  return grid.map((row, y) =>
    row.map((isDark, x) => (isDark === true) !== (places.has(y * grid.length + x) && MASKS[mask]?.(x, y) === true)),
  );
}

/** How hard it is to read: runs, blocks and imbalance. The rule on patterns like finders is left out; any mask is valid. */
function penaltyOf(grid: Grid): number {
  const size = grid.length;
  const cell = (x: number, y: number): boolean => grid[y]?.[x] === true;
  let penalty = 0;
  let dark = 0;
  for (let a = 0; a < size; a++) {
    for (const isRow of [true, false]) {
      let run = 0;
      for (let b = 0; b < size; b++) {
        const isSame = b > 0 && (isRow ? cell(b, a) === cell(b - 1, a) : cell(a, b) === cell(a, b - 1));
        run = isSame ? run + 1 : 1;
        if (run === 5) penalty += 3;
        else if (run > 5) penalty++;
      }
    }
    for (let b = 0; b < size; b++) {
      if (cell(a, b)) dark++;
      const corner = cell(a, b);
      const isBlock = cell(a + 1, b) === corner && cell(a, b + 1) === corner && cell(a + 1, b + 1) === corner;
      if (isBlock && a + 1 < size && b + 1 < size) penalty += 3;
    }
  }
  return penalty + Math.floor(Math.abs((dark * 20) / (size * size) - 10)) * 10;
}
