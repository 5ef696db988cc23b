// Threat 5, a route or a type without a check: what reads the store takes the caller's filter, what does not is listed
// here with its reason, and an interaction or operation that is new fails until somebody has said how it is controlled.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { operations } from '../../../src/fhir/operations/table.ts';

const folder = fileURLToPath(new URL('../../../src/', import.meta.url));

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name: name.replaceAll('\\', '/'), text: readFileSync(`${folder}/${name}`, 'utf8') }))
  .map(({ name, text }) => ({ name, text: text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '') }));

/** Files that look at resources whoever asks. */
const UNFILTERED: Readonly<Record<string, string>> = {
  'fhir/access/callers.ts': 'where it is made',
  'fhir/access/commit.ts': 'what is there is looked at to decide whether the caller may change it',
  'fhir/access/holds.ts': 'the joins of a rule of access are the rule, and not what the caller sees',
  'fhir/added-parameters.ts': 'search parameters are for everybody; they are no records of patients',
  'fhir/audit/recorder.ts': 'the record says whose data a refused request was about',
  'fhir/audit/people.ts': 'names of those who looked, for the record itself',
  'fhir/audit/trail.ts': 'the record says whose data a write was about',
  'fhir/operations/break-the-glass.ts': 'a patient out of reach is what the glass is broken for',
  'fhir/provenance.ts': 'the version that a Provenance will be about; the commit decides on the write',
};

/** Files that let somebody in without a token, or act as the server. */
const WITHOUT_TOKEN: Readonly<Record<string, string>> = {
  'app.ts': 'access control is off',
  'cli/load-unchanged.ts': 'the command line',
  'cli/load.ts': 'the command line',
  'cli/sample.ts': 'the command line',
  'fhir/access/callers.ts': 'where they are made',
  'fhir/access/kept-caller.ts': 'jobs that they began',
  'fhir/operations/break-the-glass.ts': 'the Task for the privacy officer, whom the clinician could not write to',
  'http/guard.ts': 'what is public',
};

/** Whole-store methods, which take no filter. */
const WHOLE: Readonly<Record<string, string>> = {
  'fhir/engine.ts': 'the one way to the commit of the store',
  'http/home.ts': 'how much there is, while access control is off',
  'fhir/maintenance.ts': 'reindexing and verifying, which show nothing',
};

t.test('threat 5: the filter that lets everything through is imported by these files alone', async (t) => {
  const found = files
    .filter(({ text }) => /import[^;]*\beverything\b[^;]*callers\.ts'/.test(text))
    .map(({ name }) => name);
  t.strictSame([...found, 'fhir/access/callers.ts'].sort(), Object.keys(UNFILTERED).sort());
  const others = files.filter(({ name, text }) => !name.startsWith('store/') && /kind: 'all' *}\) *}/.test(text));
  t.strictSame(others, [], 'and nobody makes another one');
});

t.test('threat 5: callers without a token are imported by these files alone', async (t) => {
  const names = /\b(systemCaller|anonymousCaller|publicCaller)\b/;
  const found = files.filter(({ text }) => names.test(text)).map(({ name }) => name);
  t.strictSame(found.sort(), Object.keys(WITHOUT_TOKEN).sort());
});

t.test('threat 5: whatever reads the store takes a filter of the caller', async (t) => {
  let calls = 0;
  for (const { name, text } of files.filter(({ name }) => name.startsWith('fhir/'))) {
    for (const { method, argument } of storeCalls(text)) {
      calls++;
      const isCallers = /caller\.filters?\b|#caller\.filter|\bfilter\b/.test(argument);
      const isListed = /\beverything\b/.test(argument) && name in UNFILTERED;
      t.ok(isCallers || isListed, `${name}: ${method}(… ${argument.slice(-60)})`);
    }
  }
  t.ok(calls > 40, `${calls} calls were looked at`);
});

t.test('threat 5: methods of the store that take no filter are called by these files alone', async (t) => {
  const found = files
    .filter(({ name }) => /^(fhir|auth|http|practice)\//.test(name))
    .filter(({ text }) => /\b(#?store|context\.store)\.(scan|stats|reindex|verify|commit)\(/.test(text))
    .map(({ name }) => name);
  t.strictSame(found.sort(), Object.keys(WHOLE).sort());
});

t.test('threat 5: no part above the engine reads resources around it', async (t) => {
  const found = files.filter(
    ({ name, text }) => /^(auth|http|practice|mllp|ui)\//.test(name) && storeCalls(text).length > 0,
  );
  t.strictSame(
    found.map(({ name }) => name),
    [],
  );
});

/** Of each read of a store, the method and its arguments. */
function storeCalls(text: string): { method: string; argument: string }[] {
  const calls: { method: string; argument: string }[] = [];
  for (const match of text.matchAll(/\b(?:store|#store)\s*\.(read|readMany|readVersion|search|count|history)\(/g)) {
    const start = match.index + match[0].length;
    let depth = 1;
    let end = start;
    for (; depth > 0 && end < text.length; end++) depth += text[end] === '(' ? 1 : text[end] === ')' ? -1 : 0;
    calls.push({
      method: match[1] ?? '',
      argument: text
        .slice(start, end - 1)
        .replace(/\s+/g, ' ')
        .trim(),
    });
  }
  return calls;
}

// ---- interactions and operations ----

/** How each interaction is controlled. */
const INTERACTIONS: Readonly<Record<string, string>> = {
  capabilities: 'public',
  read: 'filter of r',
  vread: 'filter of r, for the version and the current one',
  'history-instance': 'filter of r, likewise',
  'history-type': 'filter of s, likewise',
  'history-system': 'filter of s, of each type',
  create: 'commit; a condition by the filter of s',
  update: 'commit',
  'conditional-update': 'commit; the condition by the filter of s',
  delete: 'commit',
  'conditional-delete': 'commit; the condition by the filter of s',
  'search-type': 'filter of s for every alias, of r for what is included',
  'search-system': 'likewise, types without s left out',
  'search-compartment': 'likewise',
  patch: 'filter of r for what is patched, commit',
  'conditional-patch': 'likewise; the condition by the filter of s',
  operation: 'below',
  bundle: 'each entry as a request of its own',
};

/** How each operation is controlled. */
const OPERATIONS: Readonly<Record<string, string>> = {
  'access-report':
    'own or represented patient, by the filter of r of those roles alone; all by the filter of s of AuditEvent',
  'break-the-glass': 'by role and fresh sign-in; shows nothing',
  everything: 'filter of r for what it is about, of s for what it finds',
  explain: 'refused to whoever has a token: what it counts is the whole',
  graphql: 'the interactions that it is made of',
  'job-status': 'the grant that began the job',
  lastn: 'filter of s',
  meta: 'filter of r; for labels in use, of s',
  'meta-add': 'filter of r, then an update',
  'meta-delete': 'filter of r, then an update',
  run: 'filter of s',
  stats: 'filter of s',
  'viewdefinition-run': 'filter of s',
  'why-not': 'filter of r for what is missing, of s for the search',
};

t.test('threat 5: every interaction and every operation is controlled in a way that is written down', async (t) => {
  const route = files.find(({ name }) => name === 'fhir/route.ts')?.text ?? '';
  const union = route.slice(route.indexOf('export type Interaction'), route.indexOf('const ID'));
  const kinds = [...union.matchAll(/kind: '([a-z-]+)'/g)].map(([, kind]) => kind);
  t.strictSame([...new Set(kinds)].sort(), Object.keys(INTERACTIONS).sort());
  t.strictSame([...new Set(operations.map(({ code }) => code))].sort(), Object.keys(OPERATIONS).sort());
});

t.test('threat 5: an operation that needs no right to its type tells of no resource of it', async (t) => {
  const open = operations.filter(({ isOpen }) => isOpen === true).map(({ code }) => code);
  t.strictSame([...new Set(open)].sort(), OPEN);
});

/** The access report decides by itself: it is about the record. A ViewDefinition is no resource that is stored; its rows are of the types that it names. */
const OPEN: readonly string[] = ['access-report', 'break-the-glass', 'run', 'viewdefinition-run'];
