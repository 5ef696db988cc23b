// The grammar of scopes, and what lies within what. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
import fc from 'fast-check';
import t from 'tap';
import { covers, coversToken, parseScope, resourceScopes, scopeTokens } from '../../src/auth/scopes.ts';
import type { Permission, ResourceScope } from '../../src/fhir/caller.ts';

const parsed = (text: string) => {
  const scope = parseScope(text);
  return typeof scope === 'object' && scope.kind === 'resource' ? scope.resource : scope;
};

t.test('scopes on resources, v2 and v1', async (t) => {
  t.same(parsed('patient/Observation.rs'), { level: 'patient', type: 'Observation', can: ['r', 's'] });
  t.same(parsed('user/*.cruds'), { level: 'user', type: '*', can: ['c', 'r', 'u', 'd', 's'] });
  t.same(parsed('system/Patient.d'), { level: 'system', type: 'Patient', can: ['d'] });
  t.same(parsed('patient/*.read'), { level: 'patient', type: '*', can: ['r', 's'] }, '.read is .rs');
  t.same(parsed('patient/*.write'), { level: 'patient', type: '*', can: ['c', 'u', 'd'] }, '.write is .cud');
  t.same(parsed('patient/*.*'), { level: 'patient', type: '*', can: ['c', 'r', 'u', 'd', 's'] }, '.* is .cruds');
  t.equal((parsed('patient/Observation.rs?category=a|b&code=c') as ResourceScope).query, 'category=a|b&code=c');
});

t.test('scopes on resources that are refused, with a reason', async (t) => {
  const wrong = [
    'patient/Observation',
    'patient/Observation.',
    'patient/Observation.dus',
    'patient/Observation.rr',
    'patient/Observation.rd,s',
    'patient/observation.rs',
    'patient/.rs',
    'patient/Obs/x.rs',
    'patient/Observation.rs?',
    'patient/Observation.rs?category',
    'patient/Observation.rs?category=',
    'patient/Observation.rs?=x',
    'patient/Observation.rs?category=a&',
    'patient/Observation.rs?category=%zz',
    'patient/Observation.rs?_include=x',
    'patient/Observation.rs?_filter=x',
    'patient/Observation.rs?_has:x:y=z',
    'patient/Observation.rs?subject.name=z',
    'patient/Observation.rs?subject%2Ename=z',
    'patient/Observation.rs?code:above=z',
    'patient/Observation.rs?_count=1',
    'patient/*.rs?_tag=x',
    'patient/Observation.cruds?code=x',
    'patient/Observation.write?code=x',
  ];
  for (const text of wrong) t.type(parseScope(text), 'string', text);
  for (const text of ['profile', 'Patient/x.rs', 'launch/list', '', 'constructor', '__proto__', 'practitioner/*.rs'])
    t.equal(parseScope(text), undefined, `${text} is of no kind we know`);
});

t.test('one scope covers another: level, type, permissions, constraints', async (t) => {
  const yes: [string, string][] = [
    ['patient/*.cruds', 'patient/Observation.rs'],
    ['patient/*.rs', 'patient/Condition.rs?category=x'],
    ['patient/Observation.rs?category=a', 'patient/Observation.r?category=a&code=b'],
    ['patient/Observation.rs?category=a,b', 'patient/Observation.rs?category=b'],
    ['patient/Observation.rs?category=a|b', 'patient/Observation.rs?category=a%7Cb'],
    ['patient/*.read', 'patient/*.rs'],
  ];
  const no: [string, string][] = [
    ['patient/Observation.rs', 'patient/*.rs'],
    ['patient/*.rs', 'user/*.rs'],
    ['user/*.rs', 'patient/*.rs'],
    ['patient/*.rs', 'patient/*.rsu'],
    ['patient/*.rs', 'patient/Observation.cud'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?category=b'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?category=a,b'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?category:not=a'],
    ['patient/Observation.rs?category:not=a,b', 'patient/Observation.rs?category:not=a'],
    ['patient/Observation.rs?code=a\\,b', 'patient/Observation.rs?code=a'],
  ];
  for (const [outer, inner] of yes) t.equal(coversToken([outer], inner), true, `${outer} covers ${inner}`);
  for (const [outer, inner] of no) t.equal(coversToken([outer], inner), false, `${outer} does not cover ${inner}`);
  t.equal(coversToken(['patient/Goal.r', 'patient/*.s'], 'patient/Goal.rs'), true, 'several together');
  t.equal(coversToken(['openid'], 'openid'), true);
  t.equal(coversToken(['openid'], 'fhirUser'), false);
  t.equal(coversToken(['profile'], 'profile'), false, 'what we do not know is covered by nothing');
});

t.test('covering is reflexive and transitive, and never widens', async () => {
  const permissions: readonly Permission[] = ['c', 'r', 'u', 'd', 's'];
  const scope = fc.record(
    {
      level: fc.constantFrom('patient' as const, 'user' as const),
      type: fc.constantFrom('*', 'Observation', 'Condition'),
      can: fc.subarray([...permissions], { minLength: 1 }),
      query: fc.constantFrom('category=a', 'category=a,b', 'category=b&code=c', 'code=c'),
    },
    { requiredKeys: ['level', 'type', 'can'] },
  ) as fc.Arbitrary<ResourceScope>;
  fc.assert(
    fc.property(scope, scope, scope, (a, b, c) => {
      const isTransitive = !(covers(a, b) && covers(b, c)) || covers(a, c);
      const isNarrower =
        !covers(a, b) || (b.can.every((one) => a.can.includes(one)) && (a.type === '*' || a.type === b.type));
      return covers(a, a) && isTransitive && isNarrower;
    }),
    { numRuns: 5_000 },
  );
});

t.test('the scope parameter: tokens, each once, within bounds', async (t) => {
  t.same(scopeTokens('openid  fhirUser openid'), ['openid', 'fhirUser']);
  t.type(scopeTokens('a"b'), 'string');
  t.type(scopeTokens('a\nb'), 'string');
  t.type(scopeTokens(Array.from({ length: 301 }, (_, index) => `s${index}`).join(' ')), 'string');
  t.type(scopeTokens('x'.repeat(16 * 1024 + 1)), 'string');
  t.same(resourceScopes(['openid', 'user/*.r', 'nonsense']), [{ level: 'user', type: '*', can: ['r'] }]);
});

t.test('no scope takes long to refuse', async (t) => {
  const start = performance.now();
  for (const text of ['patient/', 'patient/Observation.rs?', 'patient/Observation.rs?category=']) {
    for (const tail of ['a', '%', '&', '=', '\\', ',', 'a:'])
      coversToken(['patient/Observation.rs?category=a'], text + tail.repeat(16_000 / tail.length));
  }
  t.ok(performance.now() - start < 1_000);
});
