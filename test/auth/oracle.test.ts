// What we share with OAuth elsewhere, compared with oidc-provider: the same requests, the same acceptance and the same errors,
// but for the differences that are named and reasoned below. We may refuse what it accepts; what we accept and it refuses is
// a hole, unless SMART asks for it.
import { decodeJwt } from 'jose';
import t from 'tap';
import { thumbprintOf } from '../../src/auth/jwt.ts';
import { type Answered, oracle, ours, type Subject } from './oracle-support.ts';
import {
  type Assertion,
  assertionForm,
  callback,
  type DpopProof,
  dpopProof,
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
  'a pushed request twice': {
    ours: 'refused, sent nowhere',
    theirs: 'sent back invalid_request_uri',
    why: 'nothing names an address; they fall back to the only one that is registered',
  },
  'a pushed request that nobody made': {
    ours: 'refused, sent nowhere',
    theirs: 'sent back invalid_request_uri',
    why: 'the same',
  },
  'a pushed request by another client': {
    ours: 'refused, sent nowhere',
    theirs: 'sent back invalid_request_object',
    why: 'the same',
  },
  'authorization for a key that is none': {
    ours: 'sent back invalid_request, state, iss',
    theirs: 'asks the person',
    why: 'no key has this thumbprint: the code could not be redeemed',
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
  'authorization with prompt=none': {
    ours: 'sent back interaction_required, state, iss',
    theirs: 'sent back login_required, state, iss',
    why: 'nobody is let in without a page here, signed in or not',
  },
  'a code without verifier': {
    ours: invalidRequest,
    theirs: 'refused invalid_grant',
    why: 'a parameter that is missing',
  },
  'a pushed request that is a request_uri': {
    ours: invalidRequest,
    theirs: 'refused request_uri_not_supported',
    why: 'RFC 9126 2.1: "the request_uri authorization request parameter MUST NOT be provided"',
  },
  'a code with a proof twice': {
    ours: 'DPoP, refused invalid_dpop_proof',
    theirs: 'DPoP, refused invalid_grant',
    why: 'RFC 9449 5: "if the DPoP proof is invalid, invalid_dpop_proof"; the code was not looked at',
  },
  'a code without proof, of a client with bound tokens': {
    ours: 'refused invalid_dpop_proof',
    theirs: 'refused invalid_grant',
    why: 'the code is good, the proof is missing',
  },
  'a pushed request of nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'a code by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'introspection by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'revocation by nobody': { ours: invalidClient, theirs: invalidRequest, why: nobody },
  'assertion without its type': { ours: invalidClient, theirs: invalidRequest, why: proof },
  'assertion that is none': { ours: invalidClient, theirs: invalidRequest, why: proof },
};

const [key, stranger, holder, holderElsewhere] = (await Promise.all(
  (['ES384', 'ES384', 'ES256', 'ES256'] as const).map((algorithm) => testKey(algorithm, 'one')),
)) as [TestKey, TestKey, TestKey, TestKey];

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

async function pushed(subject: Subject, change: Change = {}, headers: Record<string, string> = {}) {
  const answer = await subject.send('par', authorizeForm(change), headers);
  const uri: string = answer.json?.request_uri ?? '';
  return { outcome: answer.status === 201 ? `pushed for ${answer.json.expires_in} s` : outcomeOf(answer), uri };
}

async function byUri(subject: Subject, uri: string, change: Change = {}): Promise<Outcome> {
  const parameters = form({ client_id: 'app', request_uri: uri, ...change });
  const { status, location } = await subject.send('authorize', parameters);
  if (location === undefined) return status >= 400 ? 'refused, sent nowhere' : `answered ${status}`;
  return location.startsWith(callback) ? `sent back ${returned(location).error}` : 'asks the person';
}

const dpopFor = ({ clock, tokenUrl }: Subject, change: Partial<DpopProof> = {}) =>
  dpopProof({ key: holder, clock, url: tokenUrl, ...change });

async function proved(subject: Subject, proof: Partial<DpopProof> = {}, change: Change = {}): Promise<Outcome> {
  const got = await codeOf(subject, 'app', change);
  const answer = await redeem(subject, got, {}, { dpop: await dpopFor(subject, proof) });
  return answer.status === 200 ? answer.json.token_type : outcomeOf(answer);
}

/** A refresh of what was bound, with this proof or none. */
async function renewed(subject: Subject, proof: Partial<DpopProof> | undefined): Promise<Outcome> {
  const { json } = await redeem(subject, await codeOf(subject), {}, { dpop: await dpopFor(subject) });
  const headers: Record<string, string> = proof === undefined ? {} : { dpop: await dpopFor(subject, proof) };
  const answer = await refresh(subject, json.refresh_token, {}, headers);
  return answer.status === 200 ? answer.json.token_type : outcomeOf(answer);
}

async function codeOf(subject: Subject, client = 'app', change: Change = {}): Promise<Got> {
  const made = pkce();
  const jar: Jar = new Map();
  const { location = '' } = await subject.send(
    'authorize',
    authorizeForm({ client_id: client, ...change }, made),
    {},
    jar,
  );
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

  'authorization with prompt=none': (s) => authorized(s, { prompt: 'none' }),
  'authorization with prompt=none and another': (s) => authorized(s, { prompt: 'none login' }),
  'authorization with prompt=login': (s) => authorized(s, { prompt: 'login' }),
  'authorization with an unknown prompt': (s) => authorized(s, { prompt: 'dance' }),
  'authorization with max_age': (s) => authorized(s, { max_age: '300' }),
  'authorization with max_age=0': (s) => authorized(s, { max_age: '0' }),
  'authorization with a negative max_age': (s) => authorized(s, { max_age: '-1' }),
  'authorization with max_age of no number': (s) => authorized(s, { max_age: 'x' }),
  'authorization with login_hint': (s) => authorized(s, { login_hint: 'ann' }),
  'max_age in the id_token': async (s) => {
    const made = pkce();
    const jar: Jar = new Map();
    const { location = '' } = await s.send('authorize', authorizeForm({ max_age: '300' }, made), {}, jar);
    const { code = '' } = await s.allow(location, jar);
    const { json } = await redeem(s, { code, pkce: made });
    return typeof decodeJwt(json.id_token).auth_time;
  },

  'a pushed request': async (s) => {
    const { outcome, uri } = await pushed(s);
    return `${outcome}; ${await byUri(s, uri)}`;
  },
  'a pushed request twice': async (s) => {
    const { uri } = await pushed(s);
    const jar: Jar = new Map();
    const { location = '' } = await s.send('authorize', form({ client_id: 'app', request_uri: uri }), {}, jar);
    await s.allow(location, jar);
    return byUri(s, uri);
  },
  'a pushed request by another client': async (s) => byUri(s, (await pushed(s)).uri, { client_id: 'other' }),
  'a pushed request without client': async (s) => byUri(s, (await pushed(s)).uri, { client_id: undefined }),
  'a pushed request that nobody made': async (s) => byUri(s, `urn:ietf:params:oauth:request_uri:${'x'.repeat(43)}`),
  'a pushed request, and another address beside it': async (s) =>
    byUri(s, (await pushed(s)).uri, { redirect_uri: 'https://evil.example.org/' }),
  'a pushed request that is a request_uri': async (s) =>
    (await pushed(s, { request_uri: (await pushed(s)).uri })).outcome,
  'a pushed request without PKCE': async (s) => (await pushed(s, { code_challenge: undefined })).outcome,
  'a pushed request to another address': async (s) =>
    (await pushed(s, { redirect_uri: 'https://evil.example.org/' })).outcome,
  'a pushed request of the implicit flow': async (s) => (await pushed(s, { response_type: 'token' })).outcome,
  'a pushed request of an unknown client': async (s) => (await pushed(s, { client_id: 'nobody' })).outcome,
  'a pushed request of nobody': async (s) => (await pushed(s, { client_id: undefined })).outcome,
  'a pushed request of a confidential client': async (s) =>
    (await pushed(s, { client_id: 'portal' }, s.secret)).outcome,
  'a pushed request of a confidential client without its secret': async (s) =>
    (await pushed(s, { client_id: 'portal' })).outcome,
  'a pushed request for another client': async (s) => (await pushed(s, { client_id: 'app' }, s.secret)).outcome,
  'an authorization request that should have been pushed': (s) => authorized(s, { client_id: 'pushing' }),
  'a pushed request that had to be': async (s) =>
    byUri(s, (await pushed(s, { client_id: 'pushing' })).uri, { client_id: 'pushing' }),

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

  'a code with a proof': (s) => proved(s),
  'a code with a proof of another method': (s) => proved(s, { method: 'GET' }),
  'a code with a proof for another address': (s) => proved(s, { url: 'https://other.example.org/token' }),
  'a code with a proof for the address with a query': (s) => proved(s, { url: `${s.tokenUrl}?x=1#y` }),
  'a code with a proof for no address': (s) => proved(s, { claims: { htu: undefined } }),
  'a code with an old proof': (s) => proved(s, { claims: { iat: Math.floor(s.clock.now() / 1000) - 600 } }),
  'a code with a proof from the future': (s) => proved(s, { claims: { iat: Math.floor(s.clock.now() / 1000) + 600 } }),
  'a code with a proof without time': (s) => proved(s, { claims: { iat: undefined } }),
  'a code with a proof without jti': (s) => proved(s, { claims: { jti: undefined } }),
  'a code with a proof of another typ': (s) => proved(s, { header: { typ: 'JWT' } }),
  'a code with a proof without key': (s) => proved(s, { header: { jwk: undefined } }),
  'a code with a proof by another key': (s) => proved(s, { header: { jwk: holderElsewhere.publicJwk } }),
  'a code with a proof that is none': async (s) => outcomeOf(await redeem(s, await codeOf(s), {}, { dpop: 'x' })),
  'a code with a proof twice': async (s) => {
    const claims = { jti: crypto.randomUUID() };
    return `${await proved(s, { claims })}, ${await proved(s, { claims })}`;
  },
  'a code that is bound': (s) => proved(s, {}, { dpop_jkt: thumbprintOf(holder.publicJwk) }),
  'a code that is bound to another key': (s) => proved(s, {}, { dpop_jkt: thumbprintOf(holderElsewhere.publicJwk) }),
  'a code that is bound, without a proof': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s, 'app', { dpop_jkt: thumbprintOf(holder.publicJwk) }))),
  'authorization for a key that is none': (s) => authorized(s, { dpop_jkt: 'short' }),
  'a code without proof, of a client with bound tokens': async (s) =>
    outcomeOf(await redeem(s, await codeOf(s, 'bound'), { client_id: 'bound' })),
  'introspection of a bound token': async (s) => {
    const { json } = await redeem(s, await codeOf(s), {}, { dpop: await dpopFor(s) });
    const { token_type, cnf } = (await introspect(s, json.access_token)).json;
    return `${token_type} ${cnf.jkt}`;
  },
  'refresh with the key': (s) => renewed(s, {}),
  'refresh with another key': (s) => renewed(s, { key: holderElsewhere }),
  'refresh without the key': (s) => renewed(s, undefined),
  'refresh with a key that came later': async (s) =>
    outcomeOf(await refresh(s, (await tokensOf(s)).refresh_token, {}, { dpop: await dpopFor(s) })),
  'a pushed request with a proof': async (s) => {
    const { status } = await s.send('par', authorizeForm(), { dpop: await dpopFor(s, { url: s.pushUrl }) });
    return String(status);
  },
  'a pushed request with a proof by another key than its own': async (s) => {
    const asked = authorizeForm({ dpop_jkt: thumbprintOf(holderElsewhere.publicJwk) });
    return outcomeOf(await s.send('par', asked, { dpop: await dpopFor(s, { url: s.pushUrl }) }));
  },

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
