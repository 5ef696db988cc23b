// The threats that this server is built against, each with the tests that prove its defence: a test that goes, or loses its
// name, is missed here. A title is the beginning of it, as it stands in the file.
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';

interface Threat {
  what: string;
  /** File below test/ → titles in it. */
  proofs: Readonly<Record<string, readonly string[]>>;
}

const threats: Readonly<Record<number, Threat>> = {
  1: {
    what: 'inference through _has and chains',
    proofs: {
      'fhir/access/rules.test.ts': ['threat 1: a chain or _has over a type without s is refused'],
      'fhir/access/non-interference.test.ts': ['threats 1, 2, 3, 7, 8, 11: answers tell nothing'],
      'fhir/access/holes.test.ts': ['every hole is found (seed'],
      'store/planner.test.ts': ['threat 1: the filter reaches every alias'],
      'contract/store-searches.ts': ['threat 1: a filter hides rows from every alias'],
    },
  },
  2: {
    what: 'includes across the compartment',
    proofs: { 'fhir/access/rules.test.ts': ['threat 2: includes do not leave the compartment'] },
  },
  3: {
    what: 'read by id outside of the compartment',
    proofs: {
      'fhir/access/rules.test.ts': ['threats 3, 9: what may not be seen', 'threat 3: labels hide from read'],
      'http/access.test.ts': ["threat 3: another patient's record answers as one that does not exist"],
      'fhir/access/binaries.test.ts': [
        'threat 3: a Binary: its securityContext decides in its place',
        'threat 3: a Binary without a context is seen through what it is attached to',
      ],
      'http/binary-access.test.ts': ['threat 3: content, parts, HEAD, JSON, XML and versions of a Binary'],
    },
  },
  4: {
    what: 'missing context that opens',
    proofs: {
      'fhir/access/rules-roles.test.ts': ['threat 4: a fact that is missing closes', 'threat 4: a query of a scope'],
      'fhir/access/emergency.test.ts': ['threat 4: what an active Consent refuses is not there'],
      'auth/authenticate.test.ts': ['threat 4: a token whose grant, client or scopes are damaged'],
    },
  },
  5: {
    what: 'a route without check',
    proofs: {
      'http/guard.test.ts': ['threat 5: every route is refused without a token'],
      'http/access.test.ts': ['threat 5: every interaction is refused', 'threat 5: no route beside the FHIR base'],
    },
  },
  6: {
    what: 'an explicit deny that is passed over',
    proofs: {
      'fhir/access/rules-roles.test.ts': ['threat 6: a role may do what', 'threat 6: a type that a role names'],
    },
  },
  7: {
    what: 'totals, pages and order that tell of hidden rows',
    proofs: { 'fhir/access/non-interference.test.ts': ['threats 1, 2, 3, 7, 8, 11: answers tell nothing'] },
  },
  8: {
    what: 'conditions as an oracle',
    proofs: { 'fhir/access/rules-write.test.ts': ['threat 8: a condition finds nothing that may not be seen'] },
  },
  9: {
    what: 'statuses that tell what exists',
    proofs: {
      'fhir/access/rules.test.ts': ['threat 9: 410 only where the last version was to be seen'],
      'fhir/access/rules-write.test.ts': ['threat 9: which ids are taken is not told'],
    },
  },
  10: {
    what: 'records moved or declassified by who may write them',
    proofs: {
      'fhir/access/rules-write.test.ts': [
        'threat 10: neither what is there nor what it becomes',
        'threat 10: restricted labels are taken away by who may relabel alone',
      ],
      'fhir/access/binaries.test.ts': ['threat 10: nobody opens a Binary for themselves by attaching it'],
    },
  },
  11: {
    what: 'the history of what was moved or relabelled',
    proofs: {
      'fhir/access/rules.test.ts': [
        'threat 11: a record that was moved',
        'threat 11: a record that was relabelled shows no version',
      ],
      'fhir/access/binaries.test.ts': ['threat 11: versions of a Binary are seen by their own contexts'],
    },
  },
  12: {
    what: 'hidden elements that leak',
    proofs: {
      'fhir/access/rules.test.ts': [
        'threat 12: hidden elements are shown nowhere',
        'threat 12: by hidden elements nothing is searched or sorted',
      ],
      'fhir/access/binaries.test.ts': ['threat 12: an element that is hidden opens no Binary'],
    },
  },
  13: {
    what: 'rights that are over',
    proofs: {
      'fhir/access/rules.test.ts': [
        'threat 13: a paging link of another grant is refused',
        'threat 13: a page shows what may be seen when it is asked for',
        'threat 13: the status of a job is for the grant that began it',
      ],
      'http/kept-work.test.ts': [
        'threat 13: a grant that is revoked in the middle of a job',
        'threat 13: a token of another issuer that ends in the middle of a job',
        'threat 13: what was found while the right ended is not kept',
      ],
    },
  },
  14: {
    what: 'requests that the server is made to send',
    proofs: {
      'auth/net.test.ts': [
        'threat 14: addresses that are refused as they stand',
        'threat 14: names that lead to such addresses',
        'threat 14: a name that changes its mind',
      ],
    },
  },
  15: {
    what: 'credentials for a host that looks alike',
    proofs: {
      'auth/credentials.test.ts': [
        'threat 15: one client speaks with the outside',
        'threat 15: https://tx.example.evil.test gets none',
        'threat 15: a redirect takes no credentials along',
      ],
    },
  },
  16: {
    what: 'XML that reads files and calls others',
    proofs: {
      'model/xml.test.ts': ['threat 16: no document type, entity or instruction', 'threats 16, 19, 20: laughs'],
    },
  },
  17: {
    what: 'archives that climb out of their folder',
    proofs: {
      'cli/load-package.test.ts': ['threats 17, 18: of a damaged or malicious archive', 'threat 17: links, folders'],
    },
  },
  18: {
    what: 'decompression bombs',
    proofs: {
      'http/compression.test.ts': ['threat 18: a bomb is 413'],
      'cli/load.test.ts': ['threat 18: a decompression bomb is refused'],
    },
  },
  19: {
    what: 'depth',
    proofs: {
      'http/limits.test.ts': ['threat 19: depth of JSON: 64 levels are read, 65 refused'],
      'model/json.test.ts': ['threats 19, 20: hostile texts are refused quickly', 'threats 19, 20: depth and members'],
    },
  },
  20: {
    what: 'floods of keys, and huge numbers',
    proofs: { 'http/limits.test.ts': ['threat 20: members of a JSON object'] },
  },
  21: {
    what: "FHIR's own regular expressions",
    proofs: {
      'model/primitives.test.ts': ['threat 21: checks take linear time', 'threat 21: the expressions that R4 gives'],
    },
  },
  22: {
    what: 'regular expressions of others',
    proofs: {
      'model/path.test.ts': ['threats 22, 23: expressions that ask for too much are stopped'],
      'terminology/value-sets.test.ts': ['threat 22: regular expressions that explode elsewhere do not'],
    },
  },
  23: {
    what: 'FHIRPath bombs',
    proofs: {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the title as it stands in the file
      'fhir/path-threads.test.ts': ['threats 22, 23: ${name}', 'threat 23: others are answered meanwhile'],
      'fhir/patch.test.ts': ['threat 23: a costly expression is 422'],
      'fhir/search-parameters.test.ts': ['threat 23: a hostile expression'],
    },
  },
  24: {
    what: 'prototype pollution',
    proofs: {
      'http/limits.test.ts': ['threat 24: __proto__ and its friends'],
      'http/auth-routes.test.ts': ['threat 24'],
      'model/path.test.ts': ["threat 24: JavaScript's prototypes are out of reach"],
    },
  },
  25: {
    what: 'operators of MongoDB in values',
    proofs: {
      'auth/token.test.ts': ['threat 25: parameters given twice are refused'],
      'auth/fuzz.test.ts': ['threat 25: 2,000 hostile requests'],
      'store/mongo.test.ts': ['threat 25: a cursor carries nothing but values'],
    },
  },
  26: {
    what: 'values that become SQL',
    proofs: { 'store/sql-text.test.ts': ['threat 26: no value of a client is part of an SQL text'] },
  },
  27: {
    what: 'searches that cost too much',
    proofs: {
      'http/limits.test.ts': ['threat 27: a search: parameters, values, chains'],
      'contract/store-searches.ts': ['threat 27: a search has a budget', 'threat 27: counts stop at the cap'],
      'store/mongo.test.ts': ['threat 27: a search that takes longer than it may is too costly'],
    },
  },
  28: {
    what: 'codes and refresh tokens spent twice',
    proofs: {
      'auth/token.test.ts': [
        'threat 28: a code is redeemed once',
        'threat 28: of twelve that redeem one code at two servers',
        'threat 28: of twelve that use one refresh token',
      ],
    },
  },
  29: {
    what: 'mix-up, request forgery, open redirects, frames',
    proofs: {
      'auth/authorize.test.ts': ['threat 29: before the redirect URI is known'],
      'auth/pages-consent.test.ts': ['threat 29: an interaction belongs to the browser that began it'],
      'auth/pages.test.ts': ['threat 29: after signing in nobody is sent anywhere else'],
      'auth/users-external.test.ts': ['threat 29: the way back is for one browser'],
      'http/browser.test.ts': ['threat 29: our pages show in no frame'],
      'http/auth-routes.test.ts': ['threat 29: the form of another site acts without cookies'],
    },
  },
  30: {
    what: 'tokens of others that are not what they seem',
    proofs: {
      'auth/external-issuers.test.ts': ['threat 30: what is not such a token', 'threat 30: unknown kids'],
      'auth/users-external.test.ts': ['threat 30: an id_token that is not quite right'],
    },
  },
  31: {
    what: 'guessing at logins',
    proofs: {
      'auth/users.test.ts': ['threat 31: no password, an unknown person', 'threat 31: attempts'],
      'auth/pages.test.ts': ['threat 31: unknown name, wrong password', 'threat 31: after five failures'],
    },
  },
  32: {
    what: 'scripts in names and texts',
    proofs: { 'auth/pages-consent.test.ts': ['threat 32: what people, patients and apps are called stays text'] },
  },
  33: {
    what: 'patients in logs, errors and metrics',
    proofs: {
      'fhir/audit/no-patient-data.test.ts': [
        'threat 33: nor where the server fails',
        'threat 33: a patient is in no log line, metric or error text',
      ],
      'http/access.test.ts': ['threat 33: the log knows no token, name, id or address'],
    },
  },
  34: { what: 'other origins', proofs: { 'http/cors.test.ts': ['threat 34: the origin matrix'] } },
  35: {
    what: 'answers that hold secrets',
    proofs: {
      'http/secrets.test.ts': ['threat 35: no answer holds a secret', 'threat 35: the answers that hand out a secret'],
    },
  },
  36: {
    what: 'what others wrote and we run',
    proofs: {
      'supply-chain.test.ts': [
        'threat 36: the lock file says what package.json asks for',
        'threat 36: dependencies are listed',
        'threat 36: each package has a digest',
        'threat 36: nothing runs when it is installed',
      ],
    },
  },
  37: {
    // There is one tenant a store, and therefore no filter by tenant.
    what: 'one practice that sees another',
    proofs: {
      'fhir/two-stores.test.ts': ['threat 37: what is written in one store', 'threat 37: a token of one store'],
    },
  },
  38: {
    what: 'a launch that widens reach',
    proofs: {
      'auth/app-launch.test.ts': ['threat 38: a launch widens nobody’s reach'],
      'auth/pages-consent.test.ts': ['threat 38: a launch is for the person', 'threat 38: no form makes a patient'],
      'fhir/access/rules-roles.test.ts': ['threat 38: the launch does not widen'],
      'http/launch.test.ts': ['threat 38: what is another’s, hidden or unknown', 'threat 38: it is looked at again'],
    },
  },
  39: {
    what: 'one assertion for two servers',
    proofs: {
      'auth/client-authentication.test.ts': ['threat 39: two audiences', 'threat 39: one audience in a list'],
    },
  },
  40: {
    what: 'changes to the record itself',
    proofs: {
      'contract/store-audit.ts': ['threat 40: whoever edits, deletes, renumbers, swaps or redates rows'],
      'fhir/audit/checkpoints.test.ts': [
        'threat 40: a truncated end is found',
        'threat 40: checkpoints that were changed',
      ],
      'fhir/audit/recorder.test.ts': ['threat 40: an answer that cannot be recorded is not sent'],
      'fhir/audit/segments.test.ts': ['threat 40: a sealed record verifies'],
    },
  },
};

const NUMBERS = Array.from({ length: 40 }, (_, at) => at + 1);
const folder = new URL('./', import.meta.url);
const texts = new Map(
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file, readFileSync(new URL(file, folder), 'utf8')]),
);

/** Titles as they stand in a file: what a quotation mark begins. */
const hasTitle = (file: string, title: string): boolean =>
  ["'", '"', '`'].some((mark) => texts.get(file)?.includes(mark + title) === true);

t.test('each threat has tests that prove its defence, and they are there', async (t) => {
  t.ok(texts.size > 100, 'the tests were read');
  t.same(Object.keys(threats).map(Number), NUMBERS);
  for (const [number, { what, proofs }] of Object.entries(threats)) {
    const titles = Object.entries(proofs).flatMap(([file, own]) => own.map((title) => ({ file, title })));
    t.ok(titles.length > 0, `${number}: ${what}`);
    const gone = titles.filter(({ file, title }) => !hasTitle(file, title));
    t.same(gone, [], `${number}: ${what}`);
    t.ok(
      titles.some(({ title }) => namedIn(title).includes(Number(number))),
      `${number} is named in a title`,
    );
  }
});

t.test('what is named in a title is a threat of the table', async (t) => {
  for (const [file, text] of texts) {
    if (file === 'threats.test.ts') continue;
    const named = [...text.matchAll(/\bthreats? (\d+(?:, \d+)*)/g)].flatMap(([found]) => namedIn(found));
    t.same(
      named.filter((number) => !NUMBERS.includes(number)),
      [],
      file,
    );
  }
});

/** `threats 3, 9: …` → 3 and 9. */
function namedIn(title: string): number[] {
  const found = /^threats? (\d+(?:, \d+)*)/.exec(title)?.[1] ?? '';
  return found === '' ? [] : found.split(', ').map(Number);
}

t.test('what the checklists name as tests is there', async (t) => {
  for (const list of ['ASVS.md', 'ONC.md']) {
    const text = readFileSync(new URL(`../src/auth/${list}`, import.meta.url), 'utf8');
    const named = [...text.matchAll(/`test\/([^`]+)`/g)].map(([, file = '']) => file);
    t.ok(named.length > 10, list);
    const gone = named.filter((file) => !texts.has(file) && !hasFolder(file));
    t.same(gone, [], list);
  }
});

const hasFolder = (path: string): boolean =>
  path.endsWith('/') && [...texts.keys()].some((file) => file.startsWith(path));
