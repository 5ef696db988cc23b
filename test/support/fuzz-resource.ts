// Resources that were sound before something unkind was done to them, as JSON and as XML.
import { loadDefinitions } from '../../src/model/definitions.ts';
import { xmlOfJson } from '../../src/model/xml.ts';
import type { Json, Target } from './fuzz-request.ts';
import {
  chance,
  dateText,
  fuzzId,
  hostileText,
  names,
  oops,
  referenceText,
  type Wild,
  weighted,
} from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

const definitions = loadDefinitions();

/** Somewhat more than a resource may have. */
const TEXT_CHARS_MAX = 4_500_000;

/** JSON text of a resource after up to five kinds of damage; `resource` is what it was. */
export function damagedText(random: Wild, { samples }: Target): { text: string; resource: Json } {
  const resource = structuredClone(pick(random, samples));
  if (chance(random, 0.7)) resource.id = fuzzId(random);
  const raws: string[] = [];
  for (let left = chance(random, 0.3) ? 0 : below(random, 5); left > 0; left--)
    damageSomewhere(random, resource, samples, raws);
  let room = TEXT_CHARS_MAX;
  const text = JSON.stringify(resource).replace(/"@@raw-(\d+)@@"/g, (_, at) => {
    const raw = raws[at] ?? 'null';
    room -= raw.length;
    return room < 0 ? 'null' : raw;
  });
  return { text: oops(random, 0.15) ? brokenText(random, text) : text, resource };
}

/** Walks down at random and does something to one member. */
function damageSomewhere(random: Wild, resource: Json, samples: readonly Json[], raws: string[]): void {
  let place: Json = resource;
  for (;;) {
    const members = Object.keys(place);
    if (members.length === 0) return;
    const name = pick(random, members);
    const value = place[name];
    if (typeof value === 'object' && value !== null && chance(random, 0.7)) {
      place = value;
      continue;
    }
    place[name] = damaged(random, { place, name, value }, samples, raws);
    if (place[name] === undefined) delete place[name];
    return;
  }
}

function damaged(
  random: Wild,
  { place, name, value }: { place: Json; name: string; value: Json },
  samples: readonly Json[],
  raws: string[],
): Json {
  const raw = (text: string): string => `@@raw-${raws.push(text) - 1}@@`;
  return weighted<Json>(random, [
    [2, () => undefined],
    [1, () => pick(random, [null, true, false, 0, -1, 1e308, 2 ** 53, 1.5, '', [], {}, [[]], [null], [{}], ''])],
    [3, () => hostileText(random)],
    [1, () => dateText(random)],
    [1, () => raw(pick(random, RAW_VALUES))],
    [1, () => raw(deep(random))],
    [1, () => raw(`{"${pick(random, names).replace(/[\\"\0]/g, '')}":${JSON.stringify(value)},"a":1,"a":2}`)],
    [1, () => [value]],
    [1, () => ({ value })],
    [
      0.5,
      () =>
        Array.from(
          { length: below(random, Math.min(3_000, 1_000_000 / JSON.stringify(value ?? null).length)) },
          () => value,
        ),
    ],
    [0.3, () => raw(JSON.stringify('x'.repeat(below(random, 400_000))))],
    [2, () => partOf(random, pick(random, samples))],
    [1, () => ({ reference: referenceText(random, ['Patient/1', 'Foo/1', 'Observation/f-1']) })],
    [1, () => ({ resourceType: 'Patient', id: 'x', contained: [{ resourceType: 'Patient', contained: value }] })],
    [0.5, () => pick(random, NARRATIVES)],
    [
      1,
      () => {
        place[`_${name}`] = pick(random, [
          { extension: [{ url: 'urn:x', valueString: 'x' }] },
          { id: 'a' },
          [null],
          {},
          'x',
        ]);
        return value;
      },
    ],
    [
      1,
      () => {
        place[`${name}${pick(random, ['x', 'String', 'Quantity', 'CodeableConcept', 'DateTime'])}`] = value;
        return value;
      },
    ],
  ]);
}

/** JSON values that JSON.stringify would never write. */
const RAW_VALUES = [
  '1e400',
  '-0',
  '1.000000000000000000000000000000001',
  '123456789012345678901234567890',
  '1E5',
  '1e-400',
  '-1e999999',
  `1${'0'.repeat(5_000)}`,
  `0.${'0'.repeat(5_000)}1`,
  '01',
  '.5',
  '1.',
  '0x1',
  'NaN',
  'Infinity',
  '+1',
  "'a'",
  'undefined',
  '"\\ud800"',
  '"\\u0000"',
  '"\\x41"',
  '"\t"',
  '"\\ud83d\\ude00"',
  '{"__proto__":{"isAdmin":true}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"a":1,}',
  '[1,]',
  '[,]',
  '{"a" 1}',
  '/* */1',
  '{"":1}',
  '{"a":{"a":{"a":[[[[]]]]}}}',
];

const deep = (random: Wild): string => {
  const levels = pick(random, [10, 40, 62, 63, 64, 65, 200, 5_000, 60_000]);
  return chance(random, 0.5)
    ? '['.repeat(levels) + ']'.repeat(levels)
    : `${'{"extension":[{"url":"urn:x","valueString":"x"},'.repeat(levels)}{}${']}'.repeat(levels)}`;
};

const NARRATIVES = [
  '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></div>',
  '<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:x" onclick="x">x</a>&nbsp;&unknown;</div>',
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<b>'.repeat(3_000)}x${'</b>'.repeat(3_000)}</div>`,
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<p>word </p>'.repeat(5_000)}</div>`,
  '<div>',
  '<div xmlns="http://www.w3.org/1999/xhtml"><!-- x --><![CDATA[ x ]]></div>',
  `<${'div '.repeat(10_000)}`,
  `${'&'.repeat(20_000)}`,
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<'.repeat(20_000)}</div>`,
];

export function partOf(random: Wild, resource: Json): Json {
  let place = resource;
  for (let depth = below(random, 5); depth >= 0; depth--) {
    const members = typeof place === 'object' && place !== null ? Object.values(place) : [];
    if (members.length === 0) break;
    place = pick(random, members);
  }
  return structuredClone(place);
}

/** Letters lost, added or turned. */
export function brokenText(random: Wild, text: string): string {
  const at = below(random, text.length);
  return (
    text.slice(0, at) +
    pick(random, ['', '"', '{', '}', ',', '\u0000', '\\u', '1e', '\ufeff', '<']) +
    text.slice(at + below(random, 4))
  );
}

/** Bytes: now and then not even UTF-8. */
export function bytesOf(random: Wild, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (!oops(random, 0.1) || bytes.length === 0) return bytes;
  return weighted(random, [
    [1, () => Buffer.concat([Buffer.from('\ufeff'), bytes])],
    [
      1,
      () => {
        bytes[below(random, bytes.length)] = 0x80 + below(random, 0x80);
        return bytes;
      },
    ],
    [1, () => bytes.subarray(0, below(random, bytes.length))],
    [0.3, () => Buffer.from(text, 'utf16le')],
  ]);
}

export function xmlText(random: Wild, resource: Json): string {
  let text: string;
  try {
    text = Buffer.from(xmlOfJson(Buffer.from(JSON.stringify(resource)), definitions)).toString('utf8');
  } catch {
    // What JSON can say and XML cannot.
    text = '<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>';
  }
  for (let left = below(random, 3); left > 0; left--) text = damagedXml(random, text);
  return text;
}

function damagedXml(random: Wild, text: string): string {
  const at = below(random, text.length);
  const put = (inserted: string): string => text.slice(0, at) + inserted + text.slice(at);
  const between = (inserted: string): string => text.replace('>', `>${inserted}`);
  return weighted(random, [
    [2, () => brokenText(random, text)],
    [
      1,
      () =>
        `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>${text.replace('value="', 'value="&c;')}`,
    ],
    [1, () => `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>${between('&a;')}`],
    [
      1,
      () =>
        put(
          pick(random, [
            '<?php x ?>',
            '<!-- x -->',
            '<![CDATA[x]]>',
            '&nbsp;',
            '&#0;',
            '&#xD800;',
            '&lt;',
            '</x>',
            '<a/>',
            ' a="b"',
            'xmlns="x"',
          ]),
        ),
    ],
    [1, () => between(`${'<extension>'.repeat(pick(random, [10, 120, 130, 3_000]))}`)],
    [
      1,
      () =>
        between(
          pick(random, [
            '<active value="x"/>',
            '<name/>',
            '<id value="a"/><id value="b"/>',
            '<text><div/></text>',
            '<contained/>',
            'text',
          ]),
        ),
    ],
    [1, () => text.replaceAll('value=', pick(random, ['valu=', 'value ="a" value=', 'VALUE=', 'x:value=']))],
    [1, () => text.replace('http://hl7.org/fhir', pick(random, ['', 'urn:x', 'http://hl7.org/fhir/']))],
    [1, () => text.replace(/value="[^"]*"/, `value="${hostileText(random).replace(/["<&]/g, '')}"`)],
    [
      0.5,
      () =>
        text.replace(
          /<(\w+)/,
          `<$1 ${Array.from({ length: below(random, 2_000) }, (_, one) => `a${one}="x"`).join(' ')}`,
        ),
    ],
  ]);
}
