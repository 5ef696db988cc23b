// What we share with OAuth elsewhere, compared with oidc-provider: the same requests, the same acceptance and the same errors,
// but for the differences that are named and reasoned below. We may refuse what it accepts; what we accept and it refuses is
// a hole, unless SMART asks for it.
import t from 'tap';
import { type Answered, oracle, ours, type Subject } from './oracle-support.ts';
import {
  type Assertion,
  assertionForm,
  callback,
  type Jar,
  type Pkce,
  pkce,
  returned,
  type TestKey,
  testKey,
} from './support.ts';

type Outcome = string;
type Change = Readonly<Record<string, string | undefined>>;

interface Difference {
  ours: Outcome;
  theirs: Outcome;
  why: string;
}

const proof =
  'SMART: "if an error is encountered during the authentication process, the server SHALL respond with invalid_client"';
const nobody = 'RFC 6749 5.2: invalid_client, "no client authentication included"';
const invalidClient = 'refused invalid_client';
const invalidRequest = 'refused invalid_request';

const differences: Readonly<Record<string, Difference>> = {
  // What we accept and they do not.
  'refresh without client_id by a public app': {
    ours: 'ok',
    theirs: invalidRequest,
    why: 'SMART lists grant_type, refresh_token and scope alone',
  },
  'revocation of an access token': {
    ours: 'ok; active false; active true',
    theirs: 'ok; active false; active false',
    why: 'RFC 7009: of the refresh token, MAY',
  },
  // What they accept and we do not.
  'authorization with the address twice': {
    ours: 'refused, sent nowhere',
    theirs: 'sent back invalid_request, state, iss',
    why: 'they fall back to the only address that is registered',
  },
  'a code without address': { ours: invalidRequest, theirs: 'ok', why: 'SMART: redirect_uri is required' },
  'assertion for two audiences': {
    ours: invalidClient,
    theirs: 'ok',
    why: 'threat 39: good at both servers, it could be replayed by one of them',
  },
  'assertion for one audience in a list': { ours: invalidClient, theirs: 'ok', why: 'threat 39' },
  'assertion of an hour': { ours: invalidClient, theirs: 'ok', why: 'SMART: no more than five minutes in the future' },
  'assertion of another typ': { ours: invalidClient, theirs: 'ok', why: 'SMART: typ is JWT' },
  'assertion without kid': { ours: invalidClient, theirs: 'ok', why: 'SMART: kid is required' },
  // What is refused by another name.
  'authorization with an unknown response_mode': {
    ours: 'sent back invalid_request, state, iss',
    theirs: 'sent back unsupported_response_mode, state, iss',
    why: 'a code of their own',
  },
  'a code without verifier': {
    ours: invalidRequest,
    theirs: 'refused invalid_grant',
    why: 'a parameter that is missing',
  },
  'a code by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'introspection by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'revocation by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'assertion without its type': { ours: invalidClient, theirs: invalidRequest, why: proof },
  'assertion that is none': { ours: invalidClient, theirs: invalidRequest, why: proof },
};

const [key, stranger] = (await Promise.all([testKey('ES384', 'one'), testKey('ES384', 'one')])) as [TestKey, TestKey];

interface Got {
  code: string;
  pkce: Pkce;
}

const form = (all: Change): URLSearchParams =>
  new URLSearchParams(Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined));

/** "ok", or what was refused and how. */
function outcomeOf({ status, json }: Answered): Outcome {
  if (status === 200) return json?.active === undefined ? 'ok' : `active ${json.active}`;
  return `refused ${json?.error ?? ''}`;
}

function authorizeForm(change: Change = {}, { challenge }: Pkce = pkce()): URLSearchParams {
  return form({
    response_type: 'code',
    client_id: 'app',
    redirect_uri: callback,
    scope: 'openid offline_access',
    prompt: 'consent',
    state: 'state-1',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...change,
  });
}

async function authorized(subject: Subject, change: Change = {}, twice?: string): Promise<Outcome> {
  const parameters = authorizeForm(change);
  if (twice !== undefined) parameters.append(twice, parameters.get(twice) ?? '');
  const { status, location } = await subject.send('authorize', parameters);
  if (location === undefined) return status >= 400 ? 'refused, sent nowhere' : `answered ${status}`;
  if (!location.startsWith(callback)) return 'asks the person';
  // They answer what asks for a fragment in one.
  const { error, state, iss } = returned(location.replace('#', '?'));
  return `sent back ${error}${state === undefined ? '' : ', state'}${iss === undefined ? '' : ', iss'}`;
}

async function codeOf(subject: Subject, client = 'app'): Promise<Got> {
  const made = pkce();
  const jar: Jar = new Map();
  const { location = '' } = await subject.send('authorize', authorizeForm({ client_id: client }, made), {}, jar);
  const { code = '' } = await subject.allow(location, jar);
  return { code, pkce: made };
}

const redeem = (subject: Subject, got: Got, change: Change = {}, headers: Record<string, string> = {}) =>
  subject.send(
    'token',
    form({
      grant_type: 'authorization_code',
      client_id: 'app',
      code: got.code,
      redirect_uri: callback,
      code_verifier: got.pkce.verifier,
      ...change,
    }),
    headers,
  );

const refresh = (subject: Subject, token: string, change: Change = {}, headers: Record<string, string> = {}) =>
  subject.send(
    'token',
    form({ grant_type: 'refresh_token', client_id: 'app', refresh_token: token, ...change }),
    headers,
  );

const introspect = (subject: Subject, token: string, headers = subject.secret) =>
  subject.send('introspect', form({ token }), headers);

async function tokensOf(subject: Subject) {
  return (await redeem(subject, await codeOf(subject))).json;
}

async function asserted(subject: Subject, given: Partial<Assertion> = {}, change: Change = {}): Promise<Outcome> {
  const { clock, tokenUrl } = subject;
  const claims = { aud: tokenUrl, iat: Math.floor(clock.now() / 1000), ...given.claims };
  const proof = await assertionForm({ key, client: 'service', clock, ...given, claims });
  return outcomeOf(
    await subject.send('token', form({ grant_type: 'client_credentials', scope: 'system/*.rs', ...proof, ...change })),
  );
}

const scenarios: Readonly<Record<string, (subject: Subject) => Promise<Outcome>>> = {
  'authorization request': (s) => authorized(s),
  'authorization of an unknown client': (s) => authorized(s, { client_id: 'nobody' }),
  'authorization without client': (s) => authorized(s, { client_id: undefined }),
  'authorization to another address': (s) => authorized(s, { redirect_uri: 'https://evil.example.org/' }),
  'authorization to a longer address': (s) => authorized(s, { redirect_uri: `${callback}/x` }),
  'authorization to an address with a query': (s) => authorized(s, { redirect_uri: `${callback}?x=1` }),
  'authorization without PKCE': (s) => authorized(s, { code_challenge: undefined, code_challenge_method: undefined }),
  'authorization with plain PKCE': (s) => authorized(s, { code_challenge_method: 'plain' }),
  'authorization with a short challenge': (s) => authorized(s, { code_challenge: 'abc' }),
  'authorization without response_type': (s) => authorized(s, { response_type: undefined }),
  'authorization of the implicit flow': (s) => authorized(s, { response_type: 'token' }),
  'authorization with an unknown response_mode': (s) => authorized(s, { response_mode: 'pigeon' }),
  'authorization by a request object': (s) => authorized(s, { request: 'e30.e30.' }),
  'authorization by a request URI': (s) => authorized(s, { request_uri: 'https://evil.example.org/' }),
  'authorization with the client twice': (s) => authorized(s, {}, 'client_id'),
  'authorization with the address twice': (s) => authorized(s, {}, 'redirect_uri'),
  'authorization with the scope twice': (s) => authorized(s, {}, 'scope'),

  'a code': async (s) => outcomeOf(await redeem(s, await codeOf(s))),
  'a code that nobody made': async (s) => outcomeOf(await redeem(s, { code: 'x'.repeat(43), pkce: pkce() })),
  'a code with a wrong verifier': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s), { code_verifier: 'x'.repeat(43) })),
  'a code with its challenge for a verifier': async (s) => {
    const got = await codeOf(s);
    return outcomeOf(await redeem(s, got, { code_verifier: got.pkce.challenge }));
  },
  'a code without verifier': async (s) => outcomeOf(await redeem(s, await codeOf(s), { code_verifier: undefined })),
  'a code with another address': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s), { redirect_uri: `${callback}/x` })),
  'a code without address': async (s) => outcomeOf(await redeem(s, await codeOf(s), { redirect_uri: undefined })),
  'a code by another client': async (s) => outcomeOf(await redeem(s, await codeOf(s), { client_id: 'other' })),
  'a code by nobody': async (s) => outcomeOf(await redeem(s, await codeOf(s), { client_id: undefined })),
  'a code after a wrong verifier': async (s) => {
    const got = await codeOf(s);
    await redeem(s, got, { code_verifier: 'x'.repeat(43) });
    return outcomeOf(await redeem(s, got));
  },
  'a code twice': async (s) => {
    const got = await codeOf(s);
    const { json: first } = await redeem(s, got);
    const second = outcomeOf(await redeem(s, got));
    const access = outcomeOf(await introspect(s, first.access_token));
    return `${second}; the first token ${access}; ${outcomeOf(await refresh(s, first.refresh_token))}`;
  },
  'a code of a confidential client': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s, 'portal'), { client_id: undefined }, s.secret)),
  'a code of a confidential client without its secret': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s, 'portal'), { client_id: 'portal' })),
  'a code of a confidential client with a wrong secret': async (s) => {
    const authorization = `Basic ${Buffer.from('portal:wrong').toString('base64')}`;
    return outcomeOf(await redeem(s, await codeOf(s, 'portal'), { client_id: undefined }, { authorization }));
  },
  'an unknown grant type': async (s) => outcomeOf(await redeem(s, await codeOf(s), { grant_type: 'password' })),
  'no grant type': async (s) => outcomeOf(await redeem(s, await codeOf(s), { grant_type: undefined })),

  refresh: async (s) => outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token)),
  'refresh with the same scope': async (s) =>
    outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token, { scope: 'openid' })),
  'refresh with more scope': async (s) =>
    outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token, { scope: 'openid system/*.rs' })),
  'refresh by another client': async (s) =>
    outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token, { client_id: 'other' })),
  'refresh by a token that nobody made': async (s) => outcomeOf(await refresh(s, 'x'.repeat(43))),
  'refresh by an access token': async (s) => outcomeOf(await refresh(s, (await tokensOf(s)).access_token)),
  'refresh without client_id by a public app': async (s) =>
    outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token, { client_id: undefined })),
  'refresh twice': async (s) => {
    const first = await tokensOf(s);
    const { json: second } = await refresh(s, first.refresh_token);
    const again = outcomeOf(await refresh(s, first.refresh_token));
    const access = outcomeOf(await introspect(s, second.access_token));
    return `rotated ${second.refresh_token !== first.refresh_token}; ${again}; ${access}; ${outcomeOf(await refresh(s, second.refresh_token))}`;
  },

  assertion: (s) => asserted(s),
  'assertion twice': async (s) => {
    const claims = { jti: crypto.randomUUID() };
    return `${await asserted(s, { claims })}, ${await asserted(s, { claims })}`;
  },
  'assertion by another key': (s) => asserted(s, { key: stranger }),
  'assertion of an unknown client': (s) => asserted(s, { client: 'nobody' }),
  'assertion of a public client': (s) => asserted(s, { client: 'app' }),
  'assertion for somebody else': (s) => asserted(s, { claims: { sub: 'app' } }),
  'assertion by somebody else': (s) => asserted(s, { claims: { iss: 'app' } }),
  'assertion for another server': (s) => asserted(s, { claims: { aud: 'https://other.example.org/token' } }),
  'assertion for two audiences': (s) => asserted(s, { claims: { aud: [s.tokenUrl, 'https://other.example.org'] } }),
  'assertion for one audience in a list': (s) => asserted(s, { claims: { aud: [s.tokenUrl] } }),
  'assertion without audience': (s) => asserted(s, { claims: { aud: undefined } }),
  'assertion without jti': (s) => asserted(s, { claims: { jti: undefined } }),
  'assertion without end': (s) => asserted(s, { claims: { exp: undefined } }),
  'assertion that is over': (s) => asserted(s, { claims: { exp: Math.floor(s.clock.now() / 1000) - 60 } }),
  'assertion of an hour': (s) => asserted(s, { claims: { exp: Math.floor(s.clock.now() / 1000) + 3_600 } }),
  'assertion from the future': (s) => asserted(s, { claims: { nbf: Math.floor(s.clock.now() / 1000) + 600 } }),
  'assertion of another typ': (s) => asserted(s, { header: { typ: 'at+jwt' } }),
  'assertion without kid': (s) => asserted(s, { header: { kid: undefined } }),
  'assertion without its type': (s) => asserted(s, {}, { client_assertion_type: undefined }),
  'assertion that is none': (s) => asserted(s, {}, { client_assertion: 'x' }),
  'assertion, and a scope beyond registration': (s) => asserted(s, {}, { scope: 'system/*.cruds' }),

  introspection: async (s) => outcomeOf(await introspect(s, (await tokensOf(s)).access_token)),
  'introspection of a refresh token': async (s) => outcomeOf(await introspect(s, (await tokensOf(s)).refresh_token)),
  'introspection of nothing': async (s) => outcomeOf(await introspect(s, 'x'.repeat(43))),
  'introspection without a token': async (s) => outcomeOf(await s.send('introspect', form({}), s.secret)),
  'introspection by nobody': async (s) => outcomeOf(await introspect(s, (await tokensOf(s)).access_token, {})),
  'introspection with a wrong secret': async (s) =>
    outcomeOf(await introspect(s, 'x', { authorization: `Basic ${Buffer.from('portal:wrong').toString('base64')}` })),

  'revocation of an access token': async (s) => {
    const { access_token: token, refresh_token: renewal } = await tokensOf(s);
    const done = outcomeOf(await s.send('revoke', form({ token, client_id: 'app' })));
    return `${done}; ${outcomeOf(await introspect(s, token))}; ${outcomeOf(await introspect(s, renewal))}`;
  },
  'revocation of a refresh token': async (s) => {
    const { access_token: access, refresh_token: token } = await tokensOf(s);
    const done = outcomeOf(await s.send('revoke', form({ token, client_id: 'app' })));
    return `${done}; ${outcomeOf(await introspect(s, access))}; ${outcomeOf(await refresh(s, token))}`;
  },
  'revocation by another client': async (s) => {
    const { access_token: token } = await tokensOf(s);
    await s.send('revoke', form({ token, client_id: 'other' }));
    return outcomeOf(await introspect(s, token));
  },
  'revocation of nothing': async (s) => outcomeOf(await s.send('revoke', form({ token: 'x', client_id: 'app' }))),
  'revocation by nobody': async (s) => outcomeOf(await s.send('revoke', form({ token: 'x' }))),
};

t.test('the same as oidc-provider, request by request', async (t) => {
  for (const level of ['info', 'warn'] as const) t.capture(console, level);
  const subjects = [await ours(t, key), await oracle(t, key)] as const;
  for (const [what, scenario] of Object.entries(scenarios)) {
    const [own, other] = [await scenario(subjects[0]), await scenario(subjects[1])];
    const known = differences[what];
    const why = known === undefined ? '' : `, which differs: ${known.why}`;
    t.equal(own, known?.ours ?? other, `${what}${why}`);
    t.equal(other, known?.theirs ?? other, `${what}: theirs`);
  }
});
