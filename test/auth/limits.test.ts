// Every bound of the authorization server on what comes from outside: taken at the limit, refused with the reason beyond it.
// Rates are in test/http/guard.test.ts and test/http/auth-routes.test.ts, attempts to sign in in users.test.ts.
import t from 'tap';
import { publicKeys } from '../../src/auth/jwt.ts';
import { createKeySets } from '../../src/auth/key-sets.ts';
import { scopeTokens } from '../../src/auth/scopes.ts';
import { limits } from '../../src/base/limits.ts';
import { OutboundError, type OutboundRequest } from '../../src/base/net.ts';
import { onBothStores } from '../support/stores.ts';
import { Authenticator } from './authenticator.ts';
import { siteOn } from './browser.ts';
import {
  addPublicApp,
  authorizeParameters,
  authorizeUrl,
  benchOn,
  call,
  callback,
  issuer,
  publicApp,
  returned,
  testClock,
  testKey,
} from './support.ts';

t.setTimeout(240_000);

t.test('scopes: characters and number', async (t) => {
  const scopes = (count: number) =>
    Array.from({ length: count }, (_, at) => `patient/A${'b'.repeat(at)}.r`.slice(0, 50) + at);
  t.type(scopeTokens('x'.repeat(limits.scopeCharsMax)), Array);
  t.match(
    scopeTokens('x'.repeat(limits.scopeCharsMax + 1)),
    new RegExp(`more than ${limits.scopeCharsMax} characters`),
  );
  t.equal(scopeTokens(scopes(limits.scopesMax).join(' ')).length, limits.scopesMax);
  t.match(scopeTokens(scopes(limits.scopesMax + 1).join(' ')), new RegExp(`more than ${limits.scopesMax} scopes`));
});

t.test('keys of one set', async (t) => {
  const { publicJwk } = await testKey('ES384');
  const set = (count: number) => ({
    keys: Array.from({ length: count }, (_, at) => ({ ...publicJwk, kid: `k${at}` })),
  });
  t.equal(publicKeys(set(limits.jwksKeysMax))?.length, limits.jwksKeysMax);
  t.equal(publicKeys(set(limits.jwksKeysMax + 1)), undefined);
});

t.test('a key set is fetched within its bytes and its time', async (t) => {
  const sent: OutboundRequest[] = [];
  const faults: unknown[] = [];
  const outbound = {
    async send(request: OutboundRequest): Promise<never> {
      sent.push(request);
      throw new OutboundError(`the answer has more than ${request.bytesMax} bytes`);
    },
    problemOf: () => undefined,
    close: async () => {},
  };
  const sets = createKeySets({ outbound, clock: testClock(), onFault: (error) => faults.push(error) });
  t.same(await sets.keysAt('https://app.example.org/jwks'), []);
  t.match(sent, [{ bytesMax: limits.jwksBytesMax, timeoutMs: limits.outboundMs }]);
  t.equal(faults.length, 1);
});

await onBothStores(t, async (t, adapter) => {
  await t.test('state and nonce: characters', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    for (const name of ['state', 'nonce']) {
      const ask = (length: number) =>
        call(bench.server, 'GET', authorizeUrl(authorizeParameters(app, 'user/*.rs', { [name]: 'x'.repeat(length) })));
      t.match((await ask(limits.stateCharsMax)).headers.Location, `${issuer}/auth/interaction/`, name);
      const refused = returned((await ask(limits.stateCharsMax + 1)).headers.Location);
      t.match(refused, { error: 'invalid_request', error_description: new RegExp(String(limits.stateCharsMax)) }, name);
    }
  });

  await t.test('an Authorization header is looked at up to so many characters', async (t) => {
    const bench = await benchOn(t, adapter);
    // Only the time it takes tells the two apart: both are none of ours.
    for (const length of [limits.jwtCharsMax, limits.jwtCharsMax + 1, 10 * limits.jwtCharsMax]) {
      const header = `Bearer ${'a'.repeat(length - 'Bearer '.length)}`;
      await t.rejects(bench.server.authenticate(header, ''), { kind: 'login', message: /./ }, `${length}`);
    }
  });

  await t.test('a registration: redirect URIs, their characters, and those of the name', async (t) => {
    const { server } = await benchOn(t, adapter);
    const uris = (count: number) => Array.from({ length: count }, (_, at) => `${callback}/${at}`);
    const long = (length: number) => [`${callback}/`.padEnd(length, 'x')];
    const cases = [
      [{ redirectUris: uris(limits.redirectUrisMax) }, { redirectUris: uris(limits.redirectUrisMax + 1) }],
      [{ redirectUris: long(limits.redirectUriCharsMax) }, { redirectUris: long(limits.redirectUriCharsMax + 1) }],
      [{ name: 'n'.repeat(limits.clientNameCharsMax) }, { name: 'n'.repeat(limits.clientNameCharsMax + 1) }],
      [{ scopes: scopesOf(limits.scopesMax) }, { scopes: scopesOf(limits.scopesMax + 1) }],
      [{ id: 'i'.repeat(64) }, { id: 'i'.repeat(65) }],
    ] as const;
    for (const [taken, refused] of cases) {
      const name = Object.keys(taken).join();
      t.match((await server.clients.add(publicApp(taken))).client.state, 'active', name);
      await t.rejects(server.clients.add(publicApp(refused)), { kind: 'invalid', message: /./ }, name);
    }
  });

  await t.test('passkeys of one person, and what a browser sends of one', async (t) => {
    const { accounts, person } = await siteOn(t, adapter);
    const user = await person({ login: 'keys' });
    const add = async (pad = 0): Promise<boolean> => {
      const device = new Authenticator({ origin: issuer });
      // biome-ignore lint/suspicious/noExplicitAny: WebAuthn's JSON
      const answer = device.create((await accounts.passkeys.creationOptions(user, 'b')) as any);
      return accounts.passkeys.add(user, 'b', answer.padEnd(pad, ' '), 'Key');
    };
    t.equal(await add(limits.passkeyAnswerCharsMax + 1), false, 'characters');
    t.equal(await add(limits.passkeyAnswerCharsMax), true);
    await accounts.users.change(user.id, (now) => ({
      ...now,
      passkeys: Array.from({ length: limits.passkeysMax - 1 }, (_, at) => ({
        ...(now.passkeys[0] ?? { publicKey: '', counter: 0, transports: [], isSynced: false, name: '', added: 0 }),
        id: `made-up-${at}`,
      })),
    }));
    t.equal(await add(), true, 'the last one');
    t.equal(await add(), false, 'one more');
    t.equal((await accounts.users.get(user.id))?.passkeys.length, limits.passkeysMax);
  });
});

/** As many as are asked for, each a different one. */
function scopesOf(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `patient/Observation.rs?category=c${at}`);
}
