// SMART App Launch from discovery to tokens, standalone and from the EHR.
// https://hl7.org/fhir/smart-app-launch/app-launch.html, https://hl7.org/fhir/smart-app-launch/conformance.html
import { createLocalJWKSet, jwtVerify } from 'jose';
import t from 'tap';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  authorize,
  authorizeParameters,
  authorizeUrl,
  baseUrl,
  benchOn,
  call,
  callback,
  codeFor,
  decide,
  issuer,
  type Jar,
  patientUser,
  pkce,
  practitioner,
  returned,
  tokensFor,
} from './support.ts';

const laboratory =
  'patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory';

await onBothStores(t, async (t, adapter) => {
  await t.test('the SMART configuration lists endpoints and capabilities', async (t) => {
    const bench = await benchOn(t, adapter);
    const { status, json } = await call(bench.server, 'GET', '/fhir/.well-known/smart-configuration');
    t.equal(status, 200);
    t.equal(json.issuer, issuer);
    t.same(json.code_challenge_methods_supported, ['S256'], 'S256 and nothing else');
    for (const name of ['authorization', 'token', 'introspection', 'revocation'])
      t.match(json[`${name}_endpoint`], new RegExp(`^${issuer}/auth/`), name);
    t.notOk('registration_endpoint' in json, 'registration is off');
    t.ok(json.capabilities.includes('permission-v2'));
    t.ok(json.token_endpoint_auth_signing_alg_values_supported.includes('ES384'));
    const openId = await call(bench.server, 'GET', '/.well-known/openid-configuration');
    t.equal(openId.json.jwks_uri, `${issuer}/auth/jwks`);
    t.same(openId.json.id_token_signing_alg_values_supported, ['RS256']);
  });

  await t.test('standalone launch: login, patient, consent, code, tokens', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const scope = `launch/patient openid fhirUser offline_access patient/Patient.r ${laboratory}`;
    const { verifier, challenge } = pkce();
    const parameters = authorizeParameters(app, scope, { code_challenge: challenge, nonce: 'nonce-1' });
    const back = await authorize(bench, parameters, { patient: 'pat' });
    t.equal(back.state, parameters.state, 'state comes back as it was');
    t.equal(back.iss, issuer, 'iss, RFC 9207');
    const form = {
      grant_type: 'authorization_code',
      code: back.code ?? '',
      redirect_uri: callback,
      code_verifier: verifier,
    };
    const { status, json, headers } = await call(bench.server, 'POST', '/auth/token', {
      form: { ...form, client_id: app.id },
    });
    t.equal(status, 200);
    t.equal(headers.Pragma, 'no-cache');
    t.equal(json.token_type, 'Bearer');
    t.equal(json.expires_in, 900);
    t.equal(json.scope, scope, 'granted verbatim, the granular scope too');
    t.equal(json.patient, 'pat');
    t.match(json.access_token, /^[A-Za-z0-9_-]{43}$/);
    t.match(json.refresh_token, /^[A-Za-z0-9_-]{43}$/);

    const { json: keys } = await call(bench.server, 'GET', '/auth/jwks');
    t.notOk(
      keys.keys.some((key: object) => 'd' in key),
      'no private key is published',
    );
    const { payload, protectedHeader } = await jwtVerify(json.id_token, createLocalJWKSet(keys), {
      issuer,
      audience: app.id,
      currentDate: new Date(bench.clock.now()),
    });
    t.equal(protectedHeader.alg, 'RS256');
    t.equal(payload.nonce, 'nonce-1');
    t.equal(payload.sub, practitioner.id);
    t.equal(payload.fhirUser, `${baseUrl}/Practitioner/ann`, 'absolute');

    const principal = await bench.server.authenticate(`Bearer ${json.access_token}`, '192.0.2.1');
    t.equal(principal.patient, 'pat');
    t.equal(principal.user?.fhirUser, 'Practitioner/ann');
    t.same(principal.scopes[0], { level: 'patient', type: 'Patient', can: ['r'] });
    t.match(principal.scopes[1]?.query, /laboratory$/);
    const kinds = bench.events.map(({ kind }) => kind);
    t.same(kinds, ['client-registered', 'authorization-granted', 'token-issued'], 'each step is on the record');
  });

  await t.test('authorization by POST', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const jar: Jar = new Map();
    const form = authorizeParameters(app, 'launch/patient patient/*.rs');
    const { status, headers } = await call(bench.server, 'POST', '/auth/authorize', { form }, jar);
    t.equal(status, 303, 'a form becomes a GET of the pages');
    t.ok(returned(await decide(bench, headers.Location, jar, { patient: 'pat' })).code);
  });

  await t.test('scopes of SMART v1 come back as they were asked', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { json } = await tokensFor(bench, app, { scope: 'launch/patient patient/Observation.read', patient: 'pat' });
    t.equal(json.scope, 'launch/patient patient/Observation.read');
    const { scopes } = await bench.server.authenticate(`Bearer ${json.access_token}`, '');
    t.same(scopes, [{ level: 'patient', type: 'Observation', can: ['r', 's'] }]);
  });

  await t.test('EHR launch: what is open at the EHR comes with the token', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench, { launchUrl: 'https://app.example.org/launch' });
    const fhirContext = [{ reference: 'ImagingStudy/1' }];
    const { launch, url } = await bench.server.launches.create({
      client: app.id,
      user: practitioner.id,
      patient: 'pat',
      encounter: 'visit',
      fhirContext,
      intent: 'reconcile-medications',
      needPatientBanner: false,
      smartStyleUrl: `${issuer}/style.json`,
      tenant: 'main-street',
    });
    t.equal(new URL(url ?? '').searchParams.get('iss'), baseUrl);
    t.equal(new URL(url ?? '').searchParams.get('launch'), launch);
    const scope = 'launch launch/patient launch/encounter patient/*.rs';
    const { json } = await tokensFor(bench, app, { scope, parameters: { launch } });
    t.match(json, {
      scope,
      patient: 'pat',
      encounter: 'visit',
      fhirContext,
      intent: 'reconcile-medications',
      need_patient_banner: false,
      smart_style_url: `${issuer}/style.json`,
      tenant: 'main-street',
    });
    t.notOk('refresh_token' in json, 'which nobody asked for');
    t.notOk('id_token' in json);
  });

  await t.test('a launch id is unknown, spent, old, or another app’s: refused', async (t) => {
    const bench = await benchOn(t, adapter);
    const [app, other] = [await addPublicApp(bench), await addPublicApp(bench)];
    const create = async () =>
      (await bench.server.launches.create({ client: app.id, user: practitioner.id, patient: 'pat' })).launch;
    const ask = async (client: typeof app, launch: string) => {
      const url = authorizeUrl(authorizeParameters(client, 'launch patient/*.rs', { launch }));
      return (await call(bench.server, 'GET', url)).headers.Location;
    };
    t.equal(returned(await ask(app, 'unknown')).error, 'invalid_request');
    const launch = await create();
    t.equal(returned(await ask(other, launch)).error, 'invalid_request', 'another app’s');
    t.match(await ask(app, launch), /\/auth\/interaction\//);
    t.equal(returned(await ask(app, launch)).error, 'invalid_request', 'spent');
    const late = await create();
    bench.clock.pass(5 * 60_000 + 1);
    t.equal(returned(await ask(app, late)).error, 'invalid_request', 'old');
    const kept = await create();
    const noScope = authorizeUrl(authorizeParameters(app, 'patient/*.rs', { launch: kept }));
    t.equal(
      returned((await call(bench.server, 'GET', noScope)).headers.Location).error,
      'invalid_scope',
      'without the scope',
    );
    t.match(await ask(app, kept), /\/auth\/interaction\//, 'which does not spend it');
  });

  await t.test('threat 38: a launch widens nobody’s reach', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const launchFor = (user: string, patient: string) =>
      bench.server.launches.create({ client: app.id, user, patient });
    await t.rejects(launchFor(practitioner.id, 'far'), { code: 'access_denied' }, 'not made at all');
    const unseen = { client: app.id, user: practitioner.id, patient: 'pat', encounter: 'unseen' };
    await t.rejects(bench.server.launches.create(unseen), { code: 'access_denied' }, 'nor with what the user sees not');
    const scope = 'launch patient/*.rs';
    const foreign = await launchFor(patientUser.id, 'somebody-else');
    const asked = authorizeParameters(app, scope, { launch: foreign.launch });
    t.equal(
      (await authorize(bench, asked, { user: patientUser.id })).error,
      'access_denied',
      'a patient and a foreign record',
    );
    const anns = await launchFor(practitioner.id, 'pat');
    const hers = authorizeParameters(app, scope, { launch: anns.launch });
    t.equal((await authorize(bench, hers, { user: patientUser.id })).error, 'access_denied', 'made for another user');
    const again = await launchFor(practitioner.id, 'pat');
    const mine = authorizeParameters(app, scope, { launch: again.launch });
    t.equal(
      (await authorize(bench, mine, { patient: 'other' })).error,
      'access_denied',
      'another patient than launched for',
    );
    const alone = authorizeParameters(app, 'launch/patient patient/*.rs');
    t.equal((await authorize(bench, alone, { patient: 'far' })).error, 'access_denied', 'a choice beyond reach');
    t.equal((await authorize(bench, alone, { user: patientUser.id, patient: 'other' })).error, 'access_denied');
    t.equal((await authorize(bench, alone)).error, 'access_denied', 'patient/ scopes without a patient');
  });

  await t.test('POST /auth/launch: by our own application, for the user of its token', async (t) => {
    const bench = await benchOn(t, adapter);
    const [own, app] = [await addPublicApp(bench, { isFirstParty: true }), await addPublicApp(bench)];
    const token = async (client: typeof app) =>
      (await tokensFor(bench, client, { scope: 'user/*.rs' })).json.access_token;
    const post = async (client: typeof app, json: unknown) => {
      const headers = { authorization: `Bearer ${await token(client)}` };
      return call(bench.server, 'POST', '/auth/launch', { json, headers });
    };
    const made = await post(own, { client_id: app.id, patient: 'pat', intent: 'x' });
    t.equal(made.status, 201);
    t.equal(made.json.expires_in, 300);
    const parameters = { launch: made.json.launch };
    t.equal((await tokensFor(bench, app, { scope: 'launch patient/*.rs', parameters })).json.patient, 'pat');
    t.equal((await post(app, { client_id: app.id })).json.error, 'insufficient_scope', 'by an app that is not ours');
    t.equal((await post(own, { client_id: app.id, patient: 'far' })).json.error, 'access_denied');
    t.equal((await post(own, { client_id: 'nobody' })).json.error, 'invalid_request');
    const wrong = [
      undefined,
      [],
      {},
      { client_id: 1 },
      { client_id: app.id, patient: { $ne: '' } },
      { client_id: app.id, fhirContext: [{ reference: 'Patient/1' }] },
      { client_id: app.id, need_patient_banner: 'no' },
      { client_id: app.id, fhirContext: 'x' },
      { client_id: app.id, fhirContext: [1] },
      { client_id: app.id, fhirContext: [{}] },
      { client_id: app.id, fhirContext: Array.from({ length: 21 }, () => ({ reference: 'List/1' })) },
    ];
    for (const body of wrong) t.equal((await post(own, body)).status, 400, JSON.stringify(body));
    t.equal((await call(bench.server, 'POST', '/auth/launch', { json: { client_id: app.id } })).status, 401);
  });

  await t.test('consent: scopes may be unticked and narrowed, and nothing is smuggled in', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const narrow =
      'patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis';
    const scope = 'launch/patient patient/Condition.rs patient/Observation.rs offline_access';
    const patient = 'pat';
    const narrowed = await tokensFor(bench, app, { scope, patient, scopes: ['launch/patient', narrow] });
    t.equal(narrowed.json.scope, `launch/patient ${narrow}`);
    t.notOk('refresh_token' in narrowed.json, 'offline_access was unticked');
    for (const smuggled of [
      'patient/*.rs',
      'patient/Condition.cruds',
      'user/Condition.rs',
      'openid',
      'system/*.rs',
      'nonsense',
    ])
      t.equal(
        (await authorize(bench, authorizeParameters(app, scope), { patient, scopes: [smuggled] })).error,
        'access_denied',
        smuggled,
      );
    t.equal((await authorize(bench, authorizeParameters(app, scope), { patient, scopes: [] })).error, 'access_denied');
  });

  await t.test(
    'fhirUser is granted to a user who is a resource, launch/encounter where there is an encounter',
    async (t) => {
      const bench = await benchOn(t, adapter);
      bench.users.set('admin', { id: 'admin', roles: ['admin'], clearance: [], isEnabled: true });
      const app = await addPublicApp(bench);
      const { json } = await tokensFor(bench, app, {
        scope: 'openid fhirUser launch/encounter user/*.rs',
        user: 'admin',
      });
      t.equal(json.scope, 'openid user/*.rs');
    },
  );

  await t.test('an interaction belongs to its browser, lasts ten minutes and ends once', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const url = authorizeUrl(authorizeParameters(app, 'user/*.rs'));
    const start = async () => {
      const jar: Jar = new Map();
      const { headers } = await call(bench.server, 'GET', url, {}, jar);
      return { jar, location: headers.Location ?? '' };
    };
    const one = await start();
    await t.rejects(decide(bench, one.location, (await start()).jar), /not the browser/, 'its link in another browser');
    const interaction = await bench.server.interactions.get(one.location.split('/').at(-1) ?? '');
    t.equal(interaction?.step, 'login');
    if (interaction !== undefined) {
      const next = { ...interaction, step: 'consent' as const, user: practitioner.id };
      t.equal(await bench.server.interactions.put(next), true);
      t.equal(await bench.server.interactions.put(next), false, 'somebody was faster');
    }
    t.equal(
      returned(await decide(bench, one.location, one.jar, { user: patientUser.id })).error,
      'access_denied',
      'another user than logged in',
    );
    await t.rejects(decide(bench, one.location, one.jar), /no interaction/, 'it is over');
    const slow = await start();
    bench.clock.pass(10 * 60_000 + 1);
    await t.rejects(decide(bench, slow.location, slow.jar), /no interaction/, 'too late');
    const raced = await start();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, () => decide(bench, raced.location, raced.jar)),
    );
    t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1, 'one of twelve');
  });

  await t.test('a user or app that is disabled gets no code, and no token for one', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const form = { ...(await codeFor(bench, app, { scope: 'user/*.rs' })), client_id: app.id };
    bench.users.set(practitioner.id, { ...practitioner, isEnabled: false });
    t.equal((await call(bench.server, 'POST', '/auth/token', { form })).json.error, 'invalid_grant');
    t.equal((await authorize(bench, authorizeParameters(app, 'user/*.rs'))).error, 'access_denied');
    bench.users.set(practitioner.id, practitioner);
    const second = { ...(await codeFor(bench, app, { scope: 'user/*.rs' })), client_id: app.id };
    await bench.server.clients.setState(app.id, 'disabled');
    t.equal((await call(bench.server, 'POST', '/auth/token', { form: second })).json.error, 'invalid_client');
    t.equal((await call(bench.server, 'GET', authorizeUrl(authorizeParameters(app, 'user/*.rs')))).status, 400);
  });
});
