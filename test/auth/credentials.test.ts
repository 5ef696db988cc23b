// threat 15: what the server proves itself with goes to the address that was configured for it, and to none that looks like it.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createKeySets } from '../../src/auth/key-sets.ts';
import { createExternalLogin, type IdentityProvider } from '../../src/auth/users/external-login.ts';
import { createOutbound, type OutboundRequest } from '../../src/base/net.ts';
import { sqlite } from '../support/stores.ts';
import { issuer, testClock } from './support.ts';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

t.test('threat 15: one client speaks with the outside, and one caller of it sends credentials', async (t) => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const textOf = (file: string): string => readFileSync(join(source, file), 'utf8');
  t.ok(files.length > 100);
  const speaks = files.filter((file) =>
    /from 'undici'|(?<![.#\w])fetch\((?!type)|from 'node:(https|http2|tls|dgram)'|new WebSocket\(/.test(textOf(file)),
  );
  // The door itself has https for those who come; the start page and the sample's line show people what they may type.
  t.same(
    speaks.filter((file) => !file.startsWith('http/')),
    ['base/net.ts'],
  );
  const calls = files.filter((file) => /outbound\.send\(/.test(textOf(file))).sort();
  t.same(calls, ['auth/key-sets.ts', 'auth/users/external-login.ts']);
  t.same(
    calls.filter((file) => /authorization: |cookie|api-key|clientSecret/i.test(textOf(file))),
    ['auth/users/external-login.ts'],
  );
});

const idp = 'https://idp.example.org';
const provider: IdentityProvider = {
  id: 'clinic',
  name: 'Clinic',
  issuer: idp,
  authorizationEndpoint: `${idp}/authorize`,
  tokenEndpoint: `${idp}/token`,
  jwksUri: `${idp}/jwks`,
  clientId: 'careloom',
  clientSecret: 'the-secret-of-careloom',
};
/** Each begins with the text of the right address, or is one part short of it. */
const lookAlikes = [
  'https://idp.example.org.evil.test/token',
  'https://idp.example.org@evil.test/token',
  'https://idp.example.orgevil.test/token',
  'https://idp.example.org:8443/token',
  'http://idp.example.org/token',
  'https://xidp.example.org/token',
];

t.test('threat 15: https://tx.example.evil.test gets none', async (t) => {
  const clock = testClock();
  const { store, close } = await sqlite.open(clock);
  t.teardown(close);
  const sent: OutboundRequest[] = [];
  const outbound = {
    // Says, as a provider that was taken over might, that the token is to be had elsewhere.
    async send(request: OutboundRequest) {
      sent.push(request);
      const to = lookAlikes[sent.length % lookAlikes.length];
      return { status: 307, header: (name: string) => (name === 'location' ? to : undefined), body: Buffer.from('{}') };
    },
    problemOf: () => undefined,
    close: async () => {},
  };
  const onFault = (): void => {};
  const keySets = createKeySets({ outbound, clock, onFault });
  const login = createExternalLogin({ records: store.records, clock, issuer, outbound, keySets, onFault });
  for (const iss of [undefined, ...lookAlikes]) {
    const to = new URL(await login.begin(provider, { binding: 'b', next: '/' }));
    t.equal(to.origin, idp);
    t.notMatch(to.href, provider.clientSecret, 'the browser does not carry it');
    const back = new URLSearchParams({ state: to.searchParams.get('state') ?? '', code: 'c' });
    // RFC 9207: an answer that another issuer made gets no code of this one, and no secret.
    if (iss !== undefined) back.set('iss', new URL(iss).origin);
    t.match(await login.complete(provider, back, 'b'), { refused: /./ });
  }
  await keySets.keysAt(provider.jwksUri);
  const proving = sent.filter(({ headers }) =>
    Object.keys(headers ?? {}).some((name) => /authorization|cookie/i.test(name)),
  );
  t.same([...new Set(proving.map(({ url }) => url))], [provider.tokenEndpoint]);
  t.equal(proving.length, 1, 'where the answer came from another issuer, nothing was sent');
  t.ok(sent.every(({ url, body }) => url === provider.tokenEndpoint || body === undefined));
});

t.test('threat 15: a redirect takes no credentials along, for none is followed', async (t) => {
  const seen: { path: string | undefined; headers: IncomingHttpHeaders }[] = [];
  const listening = async (answer: (port: number) => string | undefined): Promise<number> => {
    const server = createServer(({ url, headers }, response) => {
      seen.push({ path: url, headers });
      const to = answer((server.address() as AddressInfo).port);
      if (to === undefined) response.end('{}');
      else response.writeHead(307, { location: to }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    return (server.address() as AddressInfo).port;
  };
  const elsewhere = await listening(() => undefined);
  const first = await listening(() => `http://127.0.0.1:${elsewhere}/stolen`);
  const outbound = createOutbound({ allowLoopback: true });
  t.teardown(() => outbound.close());
  const ask = { bytesMax: 1_000, timeoutMs: 2_000, headers: { authorization: 'Basic eDp5' }, method: 'POST' as const };
  const answer = await outbound.send({ ...ask, url: `http://127.0.0.1:${first}/token`, body: 'a=b' });
  t.equal(answer.status, 307);
  t.same(
    seen.map(({ path }) => path),
    ['/token'],
  );
});
