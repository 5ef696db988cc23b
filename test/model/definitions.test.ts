// The tables of FHIR R4: complete, right in a few places that are easy to check by hand, and what the official package
// gives when they are made again. https://hl7.org/fhir/R4/resourcelist.html

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { generateTables } from '../../scripts/generate-definitions.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { cached, readTgz } from '../support/corpora.ts';

const definitions = loadDefinitions();
const packagePath = cached('hl7.fhir.r4.examples-4.0.1.tgz');

t.test('146 concrete resource types, sorted', (t) => {
  t.equal(definitions.resourceTypes.length, 146);
  t.strictSame(definitions.resourceTypes, [...definitions.resourceTypes].sort());
  t.ok(definitions.isResourceType('Patient'));
  for (const name of ['DomainResource', 'HumanName', 'toString', '__proto__', 'Patient.contact', '']) {
    t.notOk(definitions.isResourceType(name), `'${name}' is none`);
  }
  t.equal(loadDefinitions(), definitions, 'loaded once');
  t.end();
});

t.test('every member leads to a type', (t) => {
  let members = 0;
  const seen = new Set<string>();
  const walk = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const definition = definitions.type(name);
    if (definition === undefined) t.fail(name);
    for (const member of definition?.members.values() ?? []) {
      members++;
      if (!member.type.startsWith('System.')) walk(member.type);
    }
  };
  for (const name of definitions.resourceTypes) walk(name);
  t.ok(seen.size > 650, `${seen.size} types reached`);
  t.ok(members > 8000, `${members} members`);
  t.end();
});

t.test('Patient, its contact and its choices', (t) => {
  const patient = definitions.type('Patient');
  t.match(patient, { kind: 'resource', base: 'DomainResource', isAbstract: false });
  t.strictSame([...(patient?.members.keys() ?? [])].slice(0, 10), [
    'id',
    'meta',
    'implicitRules',
    'language',
    'text',
    'contained',
    'extension',
    'modifierExtension',
    'identifier',
    'active',
  ]);
  t.strictSame(patient?.members.get('birthDate'), {
    name: 'birthDate',
    type: 'date',
    path: 'Patient.birthDate',
    many: false,
    min: 0,
    isSummary: true,
  });
  t.match(patient?.members.get('deceasedDateTime'), {
    type: 'dateTime',
    choice: 'deceased',
    path: 'Patient.deceased[x]',
  });
  t.notOk(patient?.members.has('deceased'));
  t.match(patient?.members.get('contact'), { type: 'Patient.contact', many: true });
  t.match(patient?.members.get('generalPractitioner')?.targets, ['Organization', 'Practitioner', 'PractitionerRole']);
  t.strictSame(patient?.members.get('gender')?.binding, {
    strength: 'required',
    valueSet: 'http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1',
  });
  t.match(definitions.type('Patient.contact'), { kind: 'complex', base: 'BackboneElement', name: 'Patient.contact' });
  t.strictSame(
    definitions.type('Patient.contact')?.invariants.map(({ key, path }) => [key, path]),
    [
      ['ele-1', 'Patient.contact'],
      ['pat-1', 'Patient.contact'],
    ],
  );
  t.equal(definitions.type('Patient.nothing'), undefined);
  t.end();
});

t.test('content references, targets, regular expressions, specialisations, profiles of elements', (t) => {
  const member = (type: string, name: string) => definitions.type(type)?.members.get(name);
  t.equal(member('Bundle.entry', 'link')?.type, 'Bundle.link');
  t.equal(member('Questionnaire.item', 'item')?.type, 'Questionnaire.item');
  t.equal(member('Bundle.entry', 'resource')?.type, 'Resource');
  t.equal(member('Patient', 'id')?.type, 'id');
  t.equal(member('Provenance', 'target')?.targets, undefined, 'any');
  t.equal(member('Extension', 'url')?.type, 'uri');
  t.equal(
    [...(definitions.type('Extension')?.members.values() ?? [])].filter((one) => one.choice === 'value').length,
    50,
  );
  t.equal(definitions.type('id')?.regex, '[A-Za-z0-9\\-\\.]{1,64}');
  t.equal(definitions.type('Age')?.base, 'Quantity');
  t.ok(
    definitions.isA('Age', 'Quantity') && definitions.isA('Bundle', 'Resource') && definitions.isA('code', 'string'),
  );
  t.notOk(definitions.isA('Bundle', 'DomainResource') || definitions.isA('Quantity', 'Age'));
  t.ok(definitions.type('Range')?.invariants.some(({ key, path }) => key === 'sqty-1' && path === 'Range.low'));
  t.notOk(definitions.type('xhtml')?.members.has('extension'));
  t.end();
});

t.test('search parameters: reduced to the type, with those of all resources', (t) => {
  const of = (type: string, code: string) => definitions.searchParameters(type).get(code);
  t.equal(of('Patient', '_tag')?.expression, 'Resource.meta.tag');
  t.equal(of('Patient', '_tag')?.base, 'Patient');
  t.equal(of('Patient', 'email')?.expression, "Patient.telecom.where(system='email')");
  t.equal(of('Condition', 'patient')?.expression, 'Condition.subject.where(resolve() is Patient)');
  t.equal(of('Condition', 'code')?.url, 'http://hl7.org/fhir/SearchParameter/clinical-code');
  t.equal(of('InsurancePlan', 'name')?.expression, 'name | alias');
  t.equal(of('Condition', 'subject')?.url, 'http://hl7.org/fhir/SearchParameter/Condition-subject', 'not the example');
  t.equal(of('Patient', '_id')?.url, 'http://hl7.org/fhir/SearchParameter/Resource-id', 'not the example');
  t.ok(of('Patient', '_text') && !of('Binary', '_text') && of('Binary', '_content'), '_text is of DomainResource');
  t.strictSame(of('Observation', 'code-value-date')?.components, [
    { definition: 'http://hl7.org/fhir/SearchParameter/clinical-code', expression: 'code' },
    {
      definition: 'http://hl7.org/fhir/SearchParameter/Observation-value-date',
      expression: 'value.as(DateTime) | value.as(Period)',
    },
  ]);
  t.equal(definitions.searchParameters('Nothing').size, 0);
  const urls = new Set(
    definitions.resourceTypes.flatMap((type) => [...definitions.searchParameters(type).values()].map(({ url }) => url)),
  );
  t.equal(urls.size, 1387, 'all of the package but three examples and ten without a base');
  t.end();
});

t.test('compartments name parameters that exist', (t) => {
  t.strictSame(
    [...definitions.compartments.keys()],
    ['Device', 'Encounter', 'Patient', 'Practitioner', 'RelatedPerson'],
  );
  t.strictSame(definitions.compartments.get('Patient')?.get('AllergyIntolerance'), ['patient', 'recorder', 'asserter']);
  t.equal(definitions.compartments.get('Patient')?.size, 66);
  const unknown = [...definitions.compartments].flatMap(([compartment, members]) =>
    [...members].flatMap(([type, codes]) =>
      codes
        .filter((code) => code !== '{def}' && !definitions.searchParameters(type).has(code))
        .map((code) => `${compartment}: ${type}.${code}`),
    ),
  );
  t.strictSame(unknown, []);
  t.end();
});

t.test('operations with their parameters', (t) => {
  t.equal(definitions.operations.length, 46);
  const everything = definitions.operations.find(({ url }) => url.endsWith('/Patient-everything'));
  t.match(everything, { code: 'everything', system: false, type: true, instance: true, affectsState: false });
  t.strictSame(
    everything?.parameters.map(({ name, use, min, max, type }) => `${use} ${name} ${min}..${max} ${type}`),
    [
      'in start 0..1 date',
      'in end 0..1 date',
      'in _since 0..1 instant',
      'in _type 0..* code',
      'in _count 0..1 integer',
      'out return 1..1 Bundle',
    ],
  );
  t.ok(definitions.operations.find(({ code }) => code === 'meta-add')?.affectsState);
  t.end();
});

const skip = existsSync(packagePath) ? false : `${packagePath} is missing (npm run definitions fetches it)`;

t.test('against the package', { skip }, (t) => {
  const files = readTgz(packagePath);

  t.test('made again, the tables are the same', (t) => {
    const again = generateTables(files);
    const kept = (folder: string): string =>
      gunzipSync(readFileSync(fileURLToPath(new URL(`../../${folder}/r4.json.gz`, import.meta.url)))).toString('utf8');
    // The texts, not the files: other builds of zlib compress to other bytes.
    t.ok(JSON.stringify(again.definitions) === kept('profiles'), 'profiles/r4.json.gz');
    t.ok(JSON.stringify(again.terminology) === kept('terminology'), 'terminology/r4.json.gz');
    t.ok(Object.keys(again.terminology.codeSystems).length > 1000);
    t.ok(Object.keys(again.terminology.valueSets).length > 1300);
    t.end();
  });

  t.test('every element of every snapshot is a member, with its cardinality and types', (t) => {
    let elements = 0;
    const wrong: string[] = [];
    for (const name of [...definitions.resourceTypes, 'HumanName', 'Timing', 'Extension', 'ElementDefinition', 'Age']) {
      const structure = JSON.parse(files.get(`package/StructureDefinition-${name}.json`)?.toString('utf8') ?? '{}') as {
        snapshot: { element: { path: string; min: number; max: string; type?: { code: string }[] }[] };
      };
      for (const { path, min, max, type = [] } of structure.snapshot.element.slice(1)) {
        elements++;
        const owner = definitions.type(path.slice(0, path.lastIndexOf('.')));
        const members = [...(owner?.members.values() ?? [])].filter((member) => member.path === path);
        const isRight = members.every((member) => member.min === min && member.many === (max === '*'));
        if (!isRight || members.length !== Math.max(1, type.length)) wrong.push(path);
      }
    }
    // An element with several types whose name does not end in [x] would show here too.
    t.strictSame(wrong, []);
    t.ok(elements > 7000, `${elements} elements`);
    t.end();
  });

  t.end();
});
