// Made-up resources of every type through XML and back: the same content. CARELOOM_FUZZ_SEED repeats a run,
// CARELOOM_FUZZ_MS makes it longer.
import t from 'tap';
import { FhirError } from '../../src/base/outcome.ts';
import { loadDefinitions, type Member } from '../../src/model/definitions.ts';
import { jsonOfXml, xmlOfJson } from '../../src/model/xml.ts';
import { numbersAsText } from '../../src/model/xml-numbers.ts';
import { madeTypes, randomResource } from '../support/random-resources.ts';
import { below, pick, seeded } from '../support/random-search.ts';

const definitions = loadDefinitions();
const seed = Number(process.env.CARELOOM_FUZZ_SEED ?? Date.now() % 1_000_000);
const fuzzMs = Number(process.env.CARELOOM_FUZZ_MS ?? 3_000);
const random = seeded(seed);
t.comment(`CARELOOM_FUZZ_SEED=${seed}`);

const exactly = (json: string | Uint8Array): unknown => JSON.parse(numbersAsText(Buffer.from(json)));
const through = (json: string): Uint8Array =>
  jsonOfXml(xmlOfJson(Buffer.from(json), definitions, { pretty: random() < 0.5 }), definitions);

const texts = [
  'a',
  ' edge ',
  'two\nlines\r\nand\ttabs',
  '<b>&amp;"\'</b>',
  ']]>',
  '<!-- -->',
  'é ß 山𠮷 😀 \u00a0\u0085\u2028',
  '\\u0041 \\" {}[],:',
  '1.50',
  'null',
  '\u007f',
];
const numbers = ['0', '-1', '1.50', '1e3', '-0.0', '3.14159265358979323846', '1E-7'];
const divs = [
  '<div xmlns="http://www.w3.org/1999/xhtml">a</div>',
  '<div xmlns="http://www.w3.org/1999/xhtml"><p style="x: \'y\'">&lt;&#160;é<!-- c --></p>\r\n<br /></div>',
  "<div xmlns='http://www.w3.org/1999/xhtml'/>",
];

const scraps = [
  '<',
  '>',
  '/>',
  '&',
  '"',
  "'",
  '=',
  ' ',
  '\0',
  '</',
  '<!--',
  '-->',
  '<![CDATA[',
  ']]>',
  '<?',
  '?>',
  '&#0;',
  '&amp;',
  ' value="x"',
  ' id="x"',
  '<extension url="x">',
  'xmlns=""',
  '\u00e9',
  '<div xmlns="http://www.w3.org/1999/xhtml">',
  '</div>',
];

t.test('resources that searches are tested with', async (t) => {
  for (const type of madeTypes) {
    for (let at = 0; at < 30; at++) {
      const json = JSON.stringify(randomResource(random, type, `r${at}`));
      t.strictSame(exactly(through(json)), exactly(json), `${type} ${at}`);
    }
  }
});

t.test('resources of all types with every kind of member', async (t) => {
  for (const type of definitions.resourceTypes) {
    for (let at = 0; at < 8; at++) {
      const json = objectText(type, 4, [`"resourceType":"${type}"`]);
      t.strictSame(exactly(through(json)), exactly(json), `${type} ${at}`);
    }
  }
});

t.test('damaged documents are read or refused, and nothing else', async (t) => {
  const documents = madeTypes.map((type) =>
    xmlOfJson(Buffer.from(objectText(type, 3, [`"resourceType":"${type}"`])), definitions),
  );
  const until = performance.now() + fuzzMs;
  const outcomes = { read: 0, refused: 0 };
  while (performance.now() < until) {
    const damaged = damage(Buffer.from(pick(random, documents)));
    try {
      JSON.parse(Buffer.from(jsonOfXml(damaged, definitions)).toString());
      outcomes.read++;
    } catch (error) {
      outcomes.refused++;
      if (error instanceof FhirError && error.kind === 'invalid') continue;
      t.fail(`${error} of ${damaged.toString('latin1')}`);
    }
  }
  t.ok(outcomes.refused > 100 && outcomes.read > 10, JSON.stringify(outcomes).replace(/[{}]/g, ''));
});

/** A document with some of it gone, doubled, moved or replaced. */
function damage(document: Buffer): Buffer {
  let bytes = document;
  for (let times = 1 + below(random, 3); times > 0; times--) {
    const at = below(random, bytes.length);
    const end = Math.min(bytes.length, at + below(random, 30));
    const between = pick(random, [
      Buffer.alloc(0),
      Buffer.from(pick(random, scraps)),
      Buffer.from([below(random, 256)]),
      bytes.subarray(at, Math.min(bytes.length, at + 60)),
    ]);
    bytes = Buffer.concat([bytes.subarray(0, at), between, bytes.subarray(pick(random, [at, end]))]);
  }
  return bytes;
}

/** The text of an object of a type with some of its members, in any order; at least one. */
function objectText(typeName: string, depth: number, first: string[] = []): string {
  const type = definitions.type(typeName);
  if (type === undefined) throw new Error(typeName);
  const members = [...type.members.values()].filter((member) => depth > 0 || !isDeep(member));
  const chosen = new Set<string>();
  const parts = [...first];
  const share = Math.min(1, (depth + 1) / members.length);
  for (const member of members) {
    if (random() > share && (parts.length > 0 || member !== members.at(-1))) continue;
    const step = member.choice ?? member.name;
    if (chosen.has(step)) continue;
    chosen.add(step);
    parts.push(...memberTexts(member, depth, type.kind === 'resource', typeName));
  }
  if (parts.length === 0) parts.push('"id":"i"');
  if (random() < 0.3) parts.reverse();
  return `{${parts.join(',')}}`;
}

/** `"name":value` and, for primitives, sometimes `"_name":beside`. */
function memberTexts(member: Member, depth: number, isResource: boolean, owner: string): string[] {
  const mayHaveBeside =
    definitions.type(member.type)?.kind === 'primitive' &&
    member.name !== 'id' &&
    member.type !== 'xhtml' &&
    !(owner === 'Extension' && member.name === 'url');
  const count = member.many ? 1 + below(random, 3) : 1;
  const values: string[] = [];
  const besides: string[] = [];
  for (let at = 0; at < count; at++) {
    const beside = mayHaveBeside && depth > 0 && random() < 0.3 ? besideText(depth - 1) : 'null';
    values.push(beside !== 'null' && random() < 0.4 ? 'null' : valueText(member, depth - 1, isResource));
    besides.push(beside);
  }
  const named = (name: string, list: string[]): string[] =>
    list.every((text) => text === 'null') ? [] : [`"${name}":${member.many ? `[${list.join(',')}]` : list[0]}`];
  return [...named(member.name, values), ...named(`_${member.name}`, besides)];
}

function besideText(depth: number): string {
  const id = random() < 0.5 ? ['"id":"b"'] : [];
  const extension = id.length === 0 || random() < 0.5 ? [`"extension":[${extensionText(depth)}]`] : [];
  return `{${[...id, ...extension].join(',')}}`;
}

function extensionText(depth: number): string {
  return depth <= 0 ? '{"url":"urn:x","valueDecimal":1.0}' : objectText('Extension', Math.min(depth, 1));
}

function valueText(member: Member, depth: number, isResource: boolean): string {
  if (member.name === 'id') return isResource ? '"i-1.A"' : JSON.stringify(pick(random, texts));
  switch (member.type) {
    case 'boolean':
      return pick(random, ['true', 'false']);
    case 'integer':
    case 'unsignedInt':
    case 'positiveInt':
      return pick(random, ['0', '7', '-3', '2147483647']);
    case 'decimal':
      return pick(random, numbers);
    case 'xhtml':
      return JSON.stringify(pick(random, divs));
  }
  const type = definitions.type(member.type);
  if (type === undefined) throw new Error(member.type);
  if (type.kind === 'primitive') return JSON.stringify(pick(random, texts));
  if (type.kind === 'complex') return objectText(member.type, depth);
  const name = pick(random, definitions.resourceTypes);
  return objectText(name, Math.min(depth, 1), [`"resourceType":"${name}"`]);
}

function isDeep(member: Member): boolean {
  return definitions.type(member.type)?.kind !== 'primitive';
}
