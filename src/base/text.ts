// Text as search compares it: without case, accents and odd spacing. https://hl7.org/fhir/R4/search.html#string

/** Letters that Unicode does not decompose but readers take for others. */
const LOOKALIKES: Readonly<Record<string, string>> = {
  ß: 'ss',
  ẞ: 'ss',
  ł: 'l',
  Ł: 'l',
  ø: 'o',
  Ø: 'o',
  æ: 'ae',
  Æ: 'ae',
  œ: 'oe',
  Œ: 'oe',
  đ: 'd',
  Đ: 'd',
  ð: 'd',
  Ð: 'd',
  þ: 'th',
  Þ: 'th',
  ı: 'i',
  ŋ: 'n',
  ħ: 'h',
  ŧ: 't',
  // What toLowerCase makes of a sigma at the end of a word.
  ς: 'σ',
};
const LOOKALIKE = /[ßẞłŁøØæÆœŒđĐðÐþÞıŋħŧς]/g;
const PLAIN = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;

/** NFKD, marks stripped, lower case, look-alikes replaced, runs of white space and control characters as one space, trimmed. */
export function folded(text: string): string {
  if (PLAIN.test(text)) return text.toLowerCase();
  return text
    .replace(LOOKALIKE, (letter) => LOOKALIKES[letter] ?? letter)
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
    .replace(LOOKALIKE, (letter) => LOOKALIKES[letter] ?? letter)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}

/** Names are compared up to this length: longer ones are no slip of the finger. */
const NAME_CHARS_MAX = 64;

/** The accepted name closest to `name` by slips (a letter wrong, missing, added or swapped), or undefined when none is close. */
export function nearest(name: string, accepted: Iterable<string>): string | undefined {
  if (name.length > NAME_CHARS_MAX) return undefined;
  const lower = name.toLowerCase();
  let best: string | undefined;
  let least = Math.min(3, Math.ceil(name.length / 3) + 1);
  for (const candidate of accepted) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const slips = slipsBetween(lower, candidate.toLowerCase());
    if (slips < least) {
      least = slips;
      best = candidate;
    }
  }
  return best;
}

/** Edit distance with swaps of neighbours. https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance (restricted form) */
function slipsBetween(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      let cost = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (isSwap) cost = Math.min(cost, at(beforeLast, j - 2) + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, other.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}
