// `careloom load` of FHIR packages: what goes in and what stays out, loading again, search parameters, damaged and
// malicious archives. https://hl7.org/fhir/packages.html
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { tarFiles } from '../../src/cli/tar.ts';
import { readTgz, sharedData } from '../support/corpora.ts';
import { engineOn, matchIds } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';
import { bench, type Ran } from './support.ts';

// ---- an archive, byte by byte ----

interface Member {
  name: string;
  content?: string | Uint8Array;
  kind?: string;
  /** The twelve bytes of the size field, where it is not to be true. */
  size?: string;
  link?: string;
  prefix?: string;
}

function tarOf(members: readonly Member[], end = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([...members.map(memberBytes), end]);
}

function memberBytes({ name, content = '', kind = '0', size, link = '', prefix = '' }: Member): Buffer {
  const bytes = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write(size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`, 124, 12, 'latin1');
  header.write('        ', 148);
  header.write(kind, 156);
  header.write(link, 157, 100);
  header.write('ustar\x0000', 257);
  header.write(prefix, 345, 155);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

const pax = (name: string, value: string): string => {
  const rest = ` ${name}=${value}\n`;
  let length = Buffer.byteLength(rest);
  while (Buffer.byteLength(`${length}${rest}`) !== length) length = Buffer.byteLength(`${length}${rest}`);
  return `${length}${rest}`;
};

const manifest: Member = {
  name: 'package/package.json',
  content: JSON.stringify({ name: 'example.package', version: '1.0.0', fhirVersions: ['4.0.1'] }),
};
const member = (name: string, resource: object): Member => ({ name, content: JSON.stringify(resource) });
const packageOf = (...members: Member[]): Buffer => gzipSync(tarOf([manifest, ...members]));

const valueSet = (more: object): object => ({ resourceType: 'ValueSet', status: 'active', ...more });
const parameter = {
  resourceType: 'SearchParameter',
  id: 'patient-animal',
  url: 'http://example.org/SearchParameter/patient-animal',
  name: 'Animal',
  status: 'active',
  description: 'Patient.extension',
  code: 'animal',
  base: ['Patient'],
  type: 'token',
  expression: "Patient.extension.where(url = 'http://example.org/animal').value",
};
const dog = {
  resourceType: 'Patient',
  id: 'dog',
  extension: [{ url: 'http://example.org/animal', valueCode: 'dog' }],
};

const raceUrl = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race';
const white = { url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code: '2106-3' } };
const raced = { resourceType: 'Patient', id: 'p', extension: [{ url: raceUrl, extension: [white] }] };

// ---- what goes in ----

t.test('the resources of package/ go in; examples, other files and narratives stay out', async (t) => {
  const { run, file } = bench(t);
  const text = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">Tiger</div>' };
  const priced = `{"resourceType":"ValueSet","text":${JSON.stringify(text)},"id":"b","status":"active",
    "extension":[{"url":"http://x","valueDecimal":1.50}]}`;
  const path = file(
    'small.tgz',
    packageOf(
      { name: 'package/.index.json', content: '{"index-version":1,"files":[]}' },
      member('package/ValueSet-a.json', valueSet({ id: 'a', text })),
      { name: './package/ValueSet-b.json', content: priced },
      member('package/ValueSet-c.json', valueSet({ id: 'not_an_id', url: 'http://example.org/ValueSet/c' })),
      member('package/ValueSet-d.json', valueSet({ title: 'no id' })),
      member('package/example/Patient-x.json', { resourceType: 'Patient', id: 'x' }),
      member('package/examples/Patient-y.json', { resourceType: 'Patient', id: 'y' }),
      member('package/other/ValueSet-o.json', valueSet({ id: 'o' })),
      member('ValueSet-p.json', valueSet({ id: 'p' })),
      { name: 'package/notes.txt', content: 'none' },
    ),
  );
  t.match(await run('load', path), { code: 0, out: /ValueSet +4\ntotal +4\n/ });
  const { out } = await run('export', '--out', '-');
  const ids = [...out.matchAll(/"resourceType":"ValueSet","id":"([^"]+)"/g)].map(([, id]) => id).sort();
  t.match(
    ids,
    ['ValueSet-d-', 'a', 'b', 'c-'].map((start) => new RegExp(`^${start}`)),
  );
  t.notMatch(out, 'Tiger');
  t.match(out, '"valueDecimal":1.50}');
});

t.test('loading again changes nothing, also with --again and in another archive', async (t) => {
  const { run, file } = bench(t);
  const members = [
    member('package/a.json', valueSet({ id: 'a', meta: { versionId: '7', profile: ['http://x'] } })),
    member('package/b.json', valueSet({ title: 'no id' })),
  ];
  const path = file('one.tgz', packageOf(...members));
  t.match(await run('load', path), { code: 0, out: /ValueSet +2/ });
  const before = (await run('export', '--out', '-')).out;
  t.match(await run('load', path), { code: 0, out: /1 files were loaded before/ });
  t.match(await run('load', path, '--again'), { code: 0, out: /2 resources were there already, unchanged\ntotal +0/ });
  const changed = member('package/a.json', valueSet({ id: 'a', title: 'changed' }));
  const newer = file('two.tar.gz', packageOf(...members.slice(1), changed));
  t.equal((await run('export', '--out', '-')).out, before);
  t.match(await run('load', newer), { code: 0, out: /1 resources were there already, unchanged\nValueSet +1/ });
});

t.test('of one resource twice in a package, the later is kept', async (t) => {
  const { run, file } = bench(t);
  const twice = [
    member('package/a.json', valueSet({ id: 'a', title: 'first' })),
    member('package/b.json', valueSet({ id: 'a', title: 'second' })),
  ];
  const path = file('twice.tgz', packageOf(...twice));
  for (const again of [[], ['--again']]) {
    t.match(await run('load', path, ...again), { code: 0 });
    t.match((await run('export', '--out', '-')).out, '"title":"second"');
  }
});

t.test('what is refused is named by its file, and hinders no other', async (t) => {
  const { run, file } = bench(t);
  const path = file(
    'some.tgz',
    packageOf(
      member('package/bad.json', valueSet({ id: 'bad', date: 'Canary' })),
      member('package/new.json', { resourceType: 'ActorDefinition', id: 'n' }),
      member('package/SearchParameter-s.json', { ...parameter, expression: 'Patient.nothing' }),
      member('package/lower.json', { resourceType: '!' }),
      { name: 'package/cut.json', content: '{"resourceType":' },
      member('package/good.json', valueSet({ id: 'good' })),
    ),
  );
  const ran = await run('load', path);
  t.match(ran, { code: 1, out: /ValueSet +1\ntotal +1\n/ });
  t.match(ran.err, /some\.tgz: package\/bad\.json: 400 .*ValueSet\.date/);
  t.match(ran.err, /package\/new\.json: 404/);
  t.match(ran.err, /package\/SearchParameter-s\.json: 422/);
  t.match(ran.err, /package\/lower\.json: no resourceType/);
  t.match(ran.err, /package\/cut\.json: is not well-formed JSON/);
  t.equal(ran.err.trimEnd().split('\n').length, 5);
  t.notMatch(ran.err, 'Canary');
});

t.test('in a folder, packages are loaded and other archives passed over', async (t) => {
  const { run, folder } = bench(t);
  const data = join(folder, 'in');
  mkdirSync(data);
  writeFileSync(join(data, 'a.tgz'), packageOf(member('package/a.json', valueSet({ id: 'a' }))));
  writeFileSync(join(data, 'b.tgz'), gzipSync(tarOf([member('notes/a.json', valueSet({ id: 'b' }))])));
  t.match(await run('load', data), { code: 0, out: /ValueSet +1\ntotal +1\n/ });
});

t.test('a package is for R4', async (t) => {
  const { run, file } = bench(t);
  const other = { name: 'package/package.json', content: '{"name":"x","fhirVersions":["5.0.0"]}' };
  const archive = gzipSync(tarOf([other, member('package/a.json', valueSet({ id: 'a' }))]));
  t.match(await run('load', file('r5.tgz', archive)), { code: 1, out: /total +0/, err: /for another release of FHIR/ });
  const none = gzipSync(tarOf([member('package/a.json', valueSet({ id: 'a' }))]));
  t.match(await run('load', file('none.tgz', none)), {
    code: 1,
    out: /total +0/,
    err: /has no package\/package\.json/,
  });
});

t.test('indexing that is interrupted is left to the server', async (t) => {
  const { runWith, file } = bench(t);
  const stop = new AbortController();
  let told = '';
  const out = {
    write(text: string | Uint8Array) {
      told += text;
      if (told.includes('indexing')) stop.abort();
    },
  };
  const paths = [file('dog.json', JSON.stringify(dog)), file('a.tgz', packageOf(member('package/a.json', parameter)))];
  t.match(await runWith({ io: { out, signal: stop.signal } }, 'load', ...paths), { code: 1, err: '' });
  t.match(told, /total +2\n(.*\n)*indexing the search parameters\nnot all are indexed; the server goes on/);
});

const usCore = sharedData('igs/hl7.fhir.us.core-6.1.0.tgz');

await onBothStores(t, async (t, adapter) => {
  await t.test('a search parameter of a package is indexed for what was there before', async (t) => {
    const { ask, load } = await loaderOn(adapter, t);
    t.match(await ask('PUT', 'Patient/dog', dog), { status: 201 });
    const ran = await load('animals.tgz', packageOf(member('package/a.json', parameter)));
    t.match(ran, { code: 0, out: /SearchParameter +1\n(.*\n)*indexing the search parameters\nindexed\n$/ });
    t.same(matchIds(await ask('GET', 'Patient?animal=dog')), ['dog']);
    t.same(matchIds(await ask('GET', 'Patient?animal=cat')), []);
  });

  await t.test('US Core 6.1.0', { skip: !existsSync(usCore) && `${usCore} is not there` }, async (t) => {
    const { ask, load } = await loaderOn(adapter, t);
    const files = [...readTgz(usCore)].filter(([name]) => /^package\/[^/]+\.json$/.test(name));
    const resources = files.map(([, content]) => JSON.parse(content.toString())).filter((one) => one.resourceType);
    t.equal(resources.length, 210);
    t.match(await ask('PUT', 'Patient/p', raced), { status: 201 });
    const archive = readFileSync(usCore);
    t.match(await load('us-core.tgz', archive), { code: 0, out: /total +210\n(.*\n)*indexed\n$/ });
    for (const { resourceType, id, text: _, ...rest } of resources) {
      const { status, json } = await ask('GET', `${resourceType}/${id}`);
      const sent = withoutStamp({ resourceType, id, ...rest });
      t.same([status, json.meta.versionId, withoutStamp(json)], [200, '1', sent], `${resourceType}/${id}`);
    }
    t.same(matchIds(await ask('GET', 'Patient?race=2106-3')), ['p']);
    t.same(matchIds(await ask('GET', 'Patient?race=2028-9')), []);
    const again = await load('us-core.tgz', archive, '--again');
    t.match(again, { code: 0, out: /210 resources were there already, unchanged\ntotal +0\n/ });
    t.match(await load('us-core.tgz', archive), { code: 0, out: /1 files were loaded before/ });
  });
});

function withoutStamp({ meta = {}, ...rest }: { meta?: object }): object {
  return { ...rest, meta: { ...meta, versionId: '', lastUpdated: '' } };
}

/** An engine on a store of its own, and the command on both. */
async function loaderOn({ open }: Adapter, t: Test) {
  const { store, close } = await open();
  t.teardown(close);
  const { ask, engine } = await engineOn(store, { lookMs: 20 });
  // The command closes its store; this one is looked at afterwards.
  const kept = new Proxy(store, {
    get(target, name) {
      if (name === 'close') return async () => {};
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const { runWith, file } = bench(t);
  const load = (name: string, archive: Uint8Array, ...options: string[]): Promise<Ran> =>
    runWith({ overrides: { store: kept, engine } }, 'load', file(name, archive), ...options);
  return { ask, load };
}

// ---- archives that are damaged or malicious ----

const good = member('package/a.json', valueSet({ id: 'a' }));

const refused: Record<string, { archive: Uint8Array; problem: RegExp }> = {
  'no gzip': { archive: tarOf([manifest, good]), problem: /is no complete gzip file/ },
  'no tar': { archive: gzipSync('x'.repeat(2_000)), problem: /is no tar archive/ },
  'less than a block': { archive: gzipSync('{}'), problem: /ends too early/ },
  nothing: { archive: gzipSync(''), problem: /ends too early/ },
  'cut within a file': {
    archive: gzipSync(tarOf([manifest, good]).subarray(0, 512 * 3 + 20)),
    problem: /ends too early/,
  },
  'cut between files': { archive: gzipSync(tarOf([manifest, good], Buffer.alloc(0))), problem: /ends too early/ },
  'cut within gzip': { archive: packageOf(good).subarray(0, 150), problem: /is no complete gzip file/ },
  'a size of 8 GB less a byte': {
    archive: packageOf({ ...good, size: '77777777777\0' }),
    problem: /package\/a\.json: has more than/,
  },
  'a size in binary': {
    archive: packageOf({ ...good, size: '\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff' }),
    problem: /more than 8 GB/,
  },
  'a size that is no number': { archive: packageOf({ ...good, size: '-0000000012\0' }), problem: /size is no number/ },
  'a size of a file that is passed over': {
    archive: packageOf({ name: 'package/x.txt', content: 'x', size: '77777777777\0' }, good),
    problem: /ends too early/,
  },
  'a size in pax': {
    archive: packageOf({ name: 'x', kind: 'x', content: pax('size', '99999999999999999999') }, good),
    problem: /size is no number/,
  },
  'a name that climbs': {
    archive: packageOf(good, { ...good, name: 'package/../../a.json' }),
    problem: /leads out of it/,
  },
  'an absolute name': { archive: packageOf({ ...good, name: '/package/a.json' }), problem: /leads out of it/ },
  'a name of Windows': { archive: packageOf({ ...good, name: 'package\\..\\a.json' }), problem: /leads out of it/ },
  'a name of pax that climbs': {
    archive: packageOf({ name: 'x', kind: 'x', content: pax('path', '../a.json') }, good),
    problem: /leads out of it/,
  },
  'a malformed pax header': {
    archive: packageOf({ name: 'x', kind: 'x', content: '999 path=a\n' }, good),
    problem: /malformed pax/,
  },
  'a pax header without numbers': {
    archive: packageOf({ name: 'x', kind: 'x', content: 'path' }, good),
    problem: /malformed pax/,
  },
  'a pax header that is too long': {
    archive: packageOf({ name: 'x', kind: 'x', content: pax('path', 'a'.repeat(limits.tarHeaderBytesMax)) }, good),
    problem: /an extended header of more than/,
  },
  'headers without end': {
    archive: packageOf(...Array.from({ length: 20 }, () => ({ name: 'x', kind: 'L', content: 'a' })), good),
    problem: /more than 8 extended headers/,
  },
};

t.test('threats 17, 18: of a damaged or malicious archive nothing goes in', async (t) => {
  const { run, file } = bench(t);
  for (const [name, { archive, problem }] of Object.entries(refused)) {
    const path = file('bad.tgz', archive);
    const ran = await run('load', path);
    t.match(ran, { code: 1, out: /total +0/, err: problem }, name);
    t.match(ran.err, path, name);
  }
  const bomb = gzipSync(Buffer.concat([tarOf([manifest, good]), Buffer.alloc(80 * 1024 * 1024)]));
  t.match(await run('load', file('bomb.tgz', bomb)), { code: 1, out: /total +0/, err: /decompresses to more/ });
});

t.test('threat 17: links, folders and devices are passed over', async (t) => {
  const { run, file } = bench(t);
  const others = ['1', '2', '3', '4', '5', '6'].map((kind) => ({
    name: `package/${kind}.json`,
    kind,
    link: '/etc/passwd',
    // Folders may claim a size, and have no content all the same.
    ...(kind === '5' ? { size: '00000001000\0' } : {}),
  }));
  t.match(await run('load', file('links.tgz', packageOf(...others, good))), { code: 0, out: /total +1\n/ });
});

t.test('names of each format, in chunks of any size', async (t) => {
  const long = `package/${'n'.repeat(150)}`;
  const archive = tarOf([
    { name: 'x', kind: 'g', content: pax('comment', 'of the whole archive') },
    { name: 'x', kind: 'x', content: pax('mtime', '1.5') + pax('path', `${long}-ü.json`) },
    { ...good, name: 'package/cut.json' },
    { name: '././@LongLink', kind: 'L', content: `${long}-gnu.json\0` },
    { ...good, name: 'package/cut.json' },
    { ...good, name: 'b.json', prefix: 'package/deep' },
    { ...good, name: 'package/old.json', kind: '\0' },
  ]);
  const expected = [`${long}-ü.json`, `${long}-gnu.json`, 'package/deep/b.json', 'package/old.json'];
  for (const size of [1, 7, 512, 1_000, archive.length]) {
    const found: string[] = [];
    for await (const { name, content } of tarFiles(chunks(archive, size), () => true)) {
      found.push(name);
      t.equal(content.toString(), good.content);
    }
    t.same(found, expected, `chunks of ${size}`);
  }
});

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
