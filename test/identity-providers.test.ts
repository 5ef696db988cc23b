// The file of CARELOOM_IDENTITY_PROVIDERS: what is read from it, and how a wrong one is told.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readIdentityProviders } from '../src/identity-providers.ts';

const folder = mkdtempSync(join(tmpdir(), 'careloom-providers-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const provider = {
  id: 'clinic',
  name: 'the clinic',
  issuer: 'https://login.example',
  authorizationEndpoint: 'https://login.example/auth',
  tokenEndpoint: 'https://login.example/token',
  jwksUri: 'https://login.example/certs',
  clientId: 'careloom',
  clientSecret: 'hunter2',
  secondFactor: { amr: ['mfa'] },
};

function read(content: string): unknown {
  const file = join(folder, 'providers.json');
  writeFileSync(file, content);
  return readIdentityProviders(file);
}

t.test('providers are read as they stand there', async (t) => {
  t.strictSame(read(JSON.stringify([provider])), [provider]);
  t.strictSame(read('[]'), []);
});

t.test('a wrong file stops the start, with what is wrong and without its secrets', async (t) => {
  for (const [content, words] of [
    ['no JSON', /is not JSON/],
    ['{}', /must be array/],
    [JSON.stringify([{ ...provider, jwksUri: 'http://login.example/certs' }]), /\/0\/jwksUri/],
    [JSON.stringify([{ ...provider, id: '../x' }]), /\/0\/id/],
    [JSON.stringify([{ ...provider, clientId: undefined }]), /clientId/],
    [JSON.stringify([{ ...provider, more: 1 }]), /additional properties/],
    [JSON.stringify([provider, provider]), /each id must be there once/],
  ] as const) {
    t.throws(() => read(content), { name: 'ConfigError', message: words });
    t.throws(() => read(content), { message: /^(?!.*hunter2)/s });
  }
  t.throws(() => readIdentityProviders(join(folder, 'absent')), { name: 'ConfigError', message: /cannot be read/ });
});
