// Accessors compared with fhirpath.js, over the official examples and over resources made so that every parameter of
// every type finds something; then what is decided differently on purpose.
// https://hl7.org/fhir/R4/searchparameter-registry.html

import { existsSync } from 'node:fs';
import fhirpath, { type UserInvocationTable } from 'fhirpath';
import r4Model from 'fhirpath/fhir-context/r4';
import t from 'tap';
import { FhirError } from '../../src/base/outcome.ts';
import { type Definitions, loadDefinitions, type Member } from '../../src/model/definitions.ts';
import { type Accessor, compileExpression, type TypedValue } from '../../src/model/search-accessors.ts';
import { indexedParameters } from '../../src/model/search-parameters.ts';
import { readTgz, sharedData } from '../support/corpora.ts';

type Resource = Record<string, unknown> & { resourceType: string };

const definitions = loadDefinitions();
const examplesPath = sharedData('corpora/r4-examples.tgz');
const numbers = new Set(['decimal', 'integer', 'positiveInt', 'unsignedInt']);

/** Enough that each type of a choice, each target of a reference and each literal of a `where` comes up. */
const variants = 12;

t.test('every parameter with an expression compiles for every type, components of composites too', (t) => {
  let compiled = 0;
  for (const type of definitions.resourceTypes) {
    for (const { expression, components = [] } of definitions.searchParameters(type).values()) {
      if (expression === '') continue;
      compileExpression(definitions, type, expression);
      compiled++;
      for (const component of components) {
        for (const base of elementTypes(type, expression)) compileExpression(definitions, base, component.expression);
      }
    }
  }
  t.equal(compiled, 2582);
  t.end();
});

t.test('official examples: the values are those of fhirpath.js', { skip: missing(examplesPath) }, (t) => {
  const resources = [...readTgz(examplesPath).values()].map((bytes) => JSON.parse(bytes.toString('utf8')) as Resource);
  const { compared, withValues, differences } = compare(resources);
  t.comment(`${compared} accessors run, ${withValues.size} type × parameter pairs with values`);
  t.ok(compared > 8000, `${compared} compared`);
  t.ok(withValues.size > 1000, `${withValues.size} pairs with values`);
  t.strictSame(differences, []);
  t.end();
});

t.test('made resources: every type × parameter pair finds what fhirpath.js finds', (t) => {
  const resources = definitions.resourceTypes.flatMap((type) =>
    Array.from({ length: variants }, (_, variant) => madeResource(type, variant)),
  );
  const { compared, withValues, pairs, differences } = compare(resources);
  t.comment(`${compared} accessors run, ${withValues.size} of ${pairs.size} type × parameter pairs with values`);
  t.strictSame(differences, []);
  t.strictSame(
    [...pairs].filter((pair) => !withValues.has(pair)),
    [],
    'a value for each',
  );
  t.ok(pairs.size > 2500, `${pairs.size} pairs`);
  t.end();
});

t.test('indexedParameters leaves out composite, special, those without content, and id and lastUpdated', (t) => {
  const codes = indexedParameters(definitions, 'Observation').map(({ parameter }) => parameter.code);
  for (const code of ['_tag', '_profile', '_security', '_source', 'code', 'value-quantity', 'patient']) {
    t.ok(codes.includes(code), code);
  }
  for (const code of ['_id', '_lastUpdated', '_text', '_content', '_filter', '_query', 'code-value-quantity']) {
    t.notOk(codes.includes(code), code);
  }
  t.notOk(indexedParameters(definitions, 'Location').some(({ parameter }) => parameter.code === 'near'));
  t.equal(indexedParameters(definitions, 'Observation'), indexedParameters(definitions, 'Observation'), 'kept');
  t.end();
});

t.test('resolve() is decided by what the reference says', (t) => {
  const patient = compileExpression(definitions, 'Observation', 'Observation.subject.where(resolve() is Patient)');
  const isPatient = (subject: object, contained: object[] = []): boolean =>
    patient({ resourceType: 'Observation', subject, contained }).length === 1;
  t.ok(isPatient({ reference: 'Patient/1' }));
  t.ok(isPatient({ reference: 'Patient/1/_history/2' }));
  t.ok(isPatient({ reference: 'https://example.org/fhir/Patient/1' }));
  t.ok(isPatient({ reference: 'Patient?identifier=http://example.org/Group/|1' }));
  t.ok(isPatient({ reference: '#p' }, [{ resourceType: 'Patient', id: 'p' }]));
  t.ok(isPatient({ type: 'Patient', identifier: { value: '1' } }));
  t.ok(isPatient({ reference: 'urn:uuid:c757873d-ec9a-4326-a141-556f43239520', type: 'Patient' }));
  t.notOk(isPatient({ reference: 'Group/1' }));
  t.notOk(isPatient({ reference: '#p' }, [{ resourceType: 'Group', id: 'p' }]));
  t.notOk(isPatient({ reference: '#q' }, [{ resourceType: 'Patient', id: 'p' }]));
  t.notOk(isPatient({ display: 'Patient' }));
  t.end();
});

t.test('deceased: false without the element, true with a date, what it says with a boolean', (t) => {
  const { expression } = definitions.searchParameters('Patient').get('deceased') ?? { expression: '' };
  const deceased = compileExpression(definitions, 'Patient', expression);
  const value = (content: object): unknown => deceased({ resourceType: 'Patient', ...content })[0]?.value;
  t.equal(value({}), false);
  t.equal(value({ deceasedBoolean: false }), false);
  t.equal(value({ deceasedBoolean: true }), true);
  t.equal(value({ deceasedDateTime: '2020-02-03' }), true);
  t.end();
});

t.test('expressions of custom parameters', (t) => {
  const patient = {
    resourceType: 'Patient',
    birthDate: '2020-02-03',
    _birthDate: { extension: [{ url: 'http://e.org/time', valueDateTime: '2020-02-03T04:05:06Z' }] },
    name: [
      { given: ['A', null, 'B'], use: 'usual' },
      { family: "O'Neil", use: 'official' },
    ],
    extension: [
      {
        url: 'http://e.org/race',
        extension: [
          { url: 'text', valueString: 'x' },
          { url: 'code', valueCode: 'y' },
        ],
      },
    ],
    contained: [{ resourceType: 'Organization', id: 'o', name: 'Org' }],
  };
  const values = (expression: string): TypedValue[] => compileExpression(definitions, 'Patient', expression)(patient);
  const cases: Record<string, TypedValue[]> = {
    "Patient.extension('http://e.org/race').extension('text').value": [{ type: 'string', value: 'x' }],
    "Patient.extension.where(url = 'http://e.org/race').extension.where(url='code').value.ofType(code)": [
      { type: 'code', value: 'y' },
    ],
    "Patient.birthDate.extension('http://e.org/time').value": [{ type: 'dateTime', value: '2020-02-03T04:05:06Z' }],
    'Patient.name.given': [
      { type: 'string', value: 'A' },
      { type: 'string', value: 'B' },
    ],
    'Patient.name.given[1]': [{ type: 'string', value: 'B' }],
    'Patient.name[1].family.value': [{ type: 'string', value: "O'Neil" }],
    "name.where(family = 'O\\'Neil').use": [{ type: 'code', value: 'official' }],
    "name.where(use != 'official' and given.exists()).use": [{ type: 'code', value: 'usual' }],
    "name.where(family.empty() or use = 'nickname').use.first()": [{ type: 'code', value: 'usual' }],
    "name.exists(use = 'old').not()": [{ type: 'boolean', value: true }],
    '(Patient.contained as Organization).name': [{ type: 'string', value: 'Org' }],
    'Patient.contained.ofType(Practitioner)': [],
    '%resource.birthDate': [{ type: 'date', value: '2020-02-03' }],
    'Patient.deceased is boolean': [],
    'DomainResource.contained.id': [{ type: 'id', value: 'o' }],
  };
  for (const [expression, expected] of Object.entries(cases)) t.strictSame(values(expression), expected, expression);
  t.end();
});

t.test('not-supported names the expression', (t) => {
  for (const expression of [
    'Patient.name.',
    'Patient.name.family.matches("x")',
    'Patient.children()',
    'Patient.nonsense',
    'Observation.code',
    'Patient.generalPractitioner.resolve().name',
    'iif(true, Patient.name, Patient.id)',
    `Patient${'.extension.value'.repeat(100)}`,
    `${'Patient.extension.value.where('.repeat(8)}true${')'.repeat(8)}`,
    `Patient${'.contact'.repeat(100_000)}`,
    `${'('.repeat(1000)}Patient.name${')'.repeat(1000)}`,
    '',
  ]) {
    try {
      compileExpression(definitions, 'Patient', expression);
      t.fail(expression);
    } catch (error) {
      t.ok(
        error instanceof FhirError && error.kind === 'not-supported' && error.message.includes(expression),
        expression,
      );
    }
  }
  t.end();
});

// Comparison

interface Comparison {
  compared: number;
  pairs: Set<string>;
  withValues: Set<string>;
  differences: unknown[];
}

function compare(resources: readonly Resource[]): Comparison {
  const result: Comparison = { compared: 0, pairs: new Set(), withValues: new Set(), differences: [] };
  const compiled = new Map<string, { accessor: Accessor; reference: (resource: Resource) => string[] }>();
  for (const resource of resources) {
    for (const { code, expression } of definitions.searchParameters(resource.resourceType).values()) {
      if (expression === '') continue;
      const key = `${resource.resourceType} ${expression}`;
      let both = compiled.get(key);
      if (both === undefined) {
        const accessor = compileExpression(definitions, resource.resourceType, expression);
        both = { accessor, reference: referenceEngine(expression) };
        compiled.set(key, both);
      }
      const pair = `${resource.resourceType} ${code}`;
      const ours = unique(both.accessor(resource).map(shown));
      const theirs = both.reference(resource);
      result.compared++;
      result.pairs.add(pair);
      if (theirs.length > 0) result.withValues.add(pair);
      if (JSON.stringify(ours) !== JSON.stringify(theirs) && result.differences.length < 20) {
        result.differences.push({ pair, id: resource.id, expression, ours, theirs });
      }
    }
  }
  return result;
}

/** A union drops repeated values, accessors do not; neither promises an order across its branches. */
function unique(values: string[]): string[] {
  return [...new Set(values)].sort();
}

/** fhirpath.js names the base of an inline type, and takes ids for strings of FHIRPath itself. */
function shown({ type, value }: TypedValue): string {
  const plain = type.replace(/^FHIR\./, '').replace('System.Boolean', 'boolean');
  const name = plain.includes('.') ? (definitions.type(plain)?.base ?? plain) : plain;
  return `${name === 'System.String' || name === 'id' ? 'string' : name} ${JSON.stringify(value)}`;
}

function referenceEngine(expression: string): (resource: Resource) => string[] {
  const rewritten = expression
    .replace(/\((\S+) as (\w+)\)/g, '$1.ofType($2)')
    .replace(/\.as\(/g, '.ofType(')
    .replace(/hasExtension\(([^)]*)\)/g, 'extension($1).exists()')
    .replace(/resolve\(\) is (\w+)/g, "refersTo('$1')");
  // Each alternative by itself: the union of fhirpath.js refuses quantities with a comparator.
  let current: Resource = { resourceType: '' };
  const options = {
    resolveInternalTypes: false,
    traceFn: () => undefined,
    userInvocationTable: { refersTo: refersTo(() => current) },
  };
  const alternatives = rewritten.split(' | ').map((alternative) => fhirpath.compile(alternative, r4Model, options));
  return (resource) => {
    current = resource;
    return unique(
      alternatives.flatMap((evaluate) => {
        const found = evaluate(resource) as unknown[];
        const types = fhirpath.types(found);
        const values = fhirpath.resolveInternalTypes(found) as unknown[];
        return values.map((value, at) => shown({ type: types[at] ?? '', value }));
      }),
    );
  };
}

function refersTo(current: () => Resource): UserInvocationTable[string] {
  return {
    arity: { 1: ['String'] },
    fn: (inputs: unknown[], type: string) =>
      inputs.map((input) => {
        const { reference = '' } =
          (input as { data?: { reference?: string } }).data ?? (input as { reference?: string });
        const contained = (current().contained ?? []) as Resource[];
        if (reference.startsWith('#'))
          return contained.some((one) => `#${one.id}` === reference && one.resourceType === type);
        return new RegExp(`(^|/)${type}/[A-Za-z0-9.-]{1,64}(/_history/.*)?$`).test(reference);
      }),
  };
}

function elementTypes(base: string, expression: string): string[] {
  const accessorTypes = expression.split('|').map((alternative) =>
    alternative
      .trim()
      .split('.')
      .slice(1)
      .reduce((type, name) => definitions.type(type)?.members.get(name)?.type ?? type, base),
  );
  return [...new Set(accessorTypes)];
}

function missing(path: string): string | false {
  return existsSync(path) ? false : `${path} is missing`;
}

// Made resources

/** A resource with a value wherever one of its type's expressions may look; variants take other types of a choice. */
function madeResource(resourceType: string, variant: number): Resource {
  const expressions = [...definitions.searchParameters(resourceType).values()].map(({ expression }) => expression);
  const words = new Set(expressions.join(' ').replaceAll('hasExtension', 'extension').match(/\w+/g));
  const literals = [...new Set(expressions.join(' ').match(/(?<=')[^']+(?=')/g))];
  return { resourceType, ...madeObject(definitions, resourceType, { words, literals, variant, depth: 0 }) };
}

interface Making {
  words: ReadonlySet<string>;
  literals: readonly string[];
  variant: number;
  depth: number;
}

function madeObject(from: Definitions, type: string, making: Making): Record<string, unknown> {
  const members = [...(from.type(type)?.members.values() ?? [])];
  const object: Record<string, unknown> = {};
  for (const member of members) {
    const label = member.choice ?? member.name;
    if (!making.words.has(label) && !['value', 'url', 'id'].includes(label)) continue;
    if (member.choice !== undefined) {
      const choices = members.filter(({ choice }) => choice === member.choice);
      const mentioned = choices.filter(({ type: name }) => making.words.has(name));
      const pool = making.variant % 2 === 0 && mentioned.length > 0 ? mentioned : choices;
      if (pool[Math.floor(making.variant / 2) % pool.length] !== member) continue;
    }
    const values = Array.from({ length: member.many && making.depth < 2 ? 2 : 1 }, (_, at) =>
      madeValue(from, member, { ...making, variant: making.variant + at, depth: making.depth + 1 }),
    ).filter((value) => value !== undefined);
    if (values.length > 0) object[member.name] = member.many ? values : values[0];
  }
  return object;
}

function madeValue(from: Definitions, member: Member, making: Making): unknown {
  const { type } = member;
  const { variant, depth, literals } = making;
  if (type === 'Reference') {
    const targets = member.targets ?? from.resourceTypes.filter((name) => making.words.has(name));
    const target = targets[variant % Math.max(1, targets.length)] ?? 'Patient';
    return { reference: variant % 3 === 0 ? `http://e.org/fhir/${target}/1` : `${target}/${variant}` };
  }
  if (type === 'Resource') {
    return depth > 2 ? undefined : { resourceType: 'Composition', id: `c${variant}`, status: 'final' };
  }
  const definition = from.type(type);
  if (definition?.kind !== 'primitive') return depth > 6 ? undefined : madeObject(from, type, making);
  if (type === 'boolean') return variant % 2 === 0;
  if (numbers.has(type)) return variant;
  if (['date', 'dateTime', 'instant'].includes(type)) return `20${10 + variant}-02-03`;
  return literals[variant % Math.max(1, literals.length)] ?? `text ${variant}`;
}
