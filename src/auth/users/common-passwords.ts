// Passwords that are tried first. Those of twelve characters and more are nearly all made from few words: repeated, with
// digits or a sign behind, with figures for letters. So the words are listed and the making is undone.
// https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
import { folded } from '../../base/text.ts';

/** Words that a machine puts together before it tries letter by letter. */
const WORDS_MAX = 3;

/** Whether a password is one of the commonest, or made from the login name. */
export function isCommonPassword(password: string, login: string): boolean {
  const plain = lettersOf(folded(password));
  const own = folded(login)
    .split(/[^a-z0-9]+/)
    .map(lettersOf)
    .filter((part) => part.length >= 4);
  return isRun(folded(password)) || leastWords(plain, [...words, ...own]) <= WORDS_MAX;
}

const words: readonly string[] = (
  'password passwort passphrase passwd pass pwd secret geheim welcome willkommen letmein login logon access changeme change ' +
  'changeit default temp temporary test testing tester guest user username admin administrator root master super superman ' +
  'superuser manager system server computer internet network qwerty qwertyuiop qwertz asdf asdfgh asdfghjkl zxcvbn zxcvbnm ' +
  'xyz qwe asd zxc qazwsx qazwsxedc wsx edc abc abcd abcdef abcdefgh iloveyou love lovely baby angel princess prinzessin sunshine shadow ' +
  'monkey dragon football baseball basketball soccer hockey michael jennifer jessica daniel michelle charlie ashley jordan ' +
  'thomas andrew matthew joshua hunter batman starwars pokemon naruto summer winter spring autumn january february march ' +
  'april may june july august september october november december monday friday sunday trustno one trustnoone whatever ' +
  'freedom money hello hallo flower cheese cookie chocolate orange banana purple blue green black white silver golden ' +
  'doctor nurse clinic hospital medical medicine health healthcare patient practice praxis physician pharmacy careloom ' +
  'company office please enter open sesame opensesame correcthorsebatterystaple the and is my your our me you this new ' +
  'first last good best god jesus christ ninja killer tigger ginger pepper buster mustang harley ranger yankees liverpool ' +
  'chelsea arsenal barcelona realmadrid'
).split(' ');

/** p4$$w0rd → password. */
const figures: Readonly<Record<string, string>> = {
  0: 'o',
  1: 'i',
  3: 'e',
  4: 'a',
  5: 's',
  7: 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

function lettersOf(text: string): string {
  // Digits and signs at either end are a count, a year or an exclamation mark, not letters.
  const body = text.replace(/[^a-z]+$/, '').replace(/^[^a-z@$]+/, '');
  return body.replace(/[013457@$!]/g, (sign) => figures[sign] ?? sign).replace(/[^a-z]/g, '');
}

/** How few listed words a text is made of, one after another; 0 for an empty one (digits and signs alone). */
function leastWords(text: string, listed: readonly string[]): number {
  const least = [0];
  for (let at = 0; at < text.length; at++) {
    const before = least[at];
    if (before === undefined) continue;
    for (const word of listed) {
      const end = at + word.length;
      if (text.startsWith(word, at)) least[end] = Math.min(least[end] ?? Number.POSITIVE_INFINITY, before + 1);
    }
  }
  return least[text.length] ?? Number.POSITIVE_INFINITY;
}

/** One short piece over and over, or neighbours on the keyboard or in the alphabet: 121212121212, 123456789012. */
function isRun(text: string): boolean {
  for (let size = 1; size <= 4; size++) {
    if (
      text ===
      text
        .slice(0, size)
        .repeat(Math.ceil(text.length / size))
        .slice(0, text.length)
    )
      return true;
  }
  const rows = [
    '01234567890123456789',
    '98765432109876543210',
    'abcdefghijklmnopqrstuvwxyz',
    'zyxwvutsrqponmlkjihgfedcba',
  ];
  return rows.some((row) => row.includes(text));
}
