// Signatures of JWTs, against those that another implementation makes. https://www.rfc-editor.org/rfc/rfc7518#section-3
import { createPrivateKey, createSign } from 'node:crypto';
import { compactVerify, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import t from 'tap';
import type { PublicJwk } from '../../src/auth/clients.ts';
import { isSignedBy, keyFor, readJwt, type SigningAlgorithm } from '../../src/auth/jwt.ts';

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'] as const;

async function signed(alg: SigningAlgorithm, header: object = {}) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const key = { ...(await exportJWK(publicKey)), kid: 'one' } as unknown as PublicJwk;
  const text = await new SignJWT({ sub: 'x' }).setProtectedHeader({ alg, kid: 'one', ...header }).sign(privateKey);
  return { key, text, privateKey };
}

function isGood(text: string, key: PublicJwk): boolean {
  const jwt = readJwt(text);
  return jwt !== undefined && isSignedBy(text, jwt, key);
}

t.test('each algorithm: what was signed, and nothing that differs in a byte', async (t) => {
  for (const alg of algorithms) {
    const [{ key, text }, other] = await Promise.all([signed(alg), signed(alg)]);
    t.ok(isGood(text, key), alg);
    t.notOk(isGood(text, other.key), `${alg}: another key`);
    const [head = '', payload = '', signature = ''] = text.split('.');
    const bytes = Buffer.from(signature, 'base64url');
    const forged = (change: (bytes: Buffer) => Buffer) =>
      isGood(`${head}.${payload}.${change(Buffer.from(bytes)).toString('base64url')}`, key);
    t.ok(forged((same) => same));
    for (const at of [0, bytes.length >> 1, bytes.length - 1])
      t.notOk(
        forged((of) => of.fill((of[at] ?? 0) ^ 1, at, at + 1)),
        `${alg}: byte ${at}`,
      );
    t.notOk(
      forged((of) => of.fill(0)),
      `${alg}: zeros`,
    );
    t.notOk(
      forged((of) => of.subarray(1)),
      `${alg}: shorter`,
    );
    t.notOk(
      forged((of) => Buffer.concat([of, Buffer.alloc(1)])),
      `${alg}: longer`,
    );
    const claims = Buffer.from('{"sub":"y"}').toString('base64url');
    t.notOk(isGood(`${head}.${claims}.${signature}`, key), `${alg}: other claims`);
    for (const odd of [
      `${text}=`,
      `${text} `,
      ` ${text}`,
      `${text}\n`,
      text.replace('.', '..'),
      `${text}.`,
      `${head}.${payload}.`,
    ])
      t.notOk(isGood(odd, key), `${alg}: ${JSON.stringify(odd.slice(-5))}`);
  }
});

t.test('a token has no say in how it is verified', async (t) => {
  const rsa = await signed('RS256');
  const [head = '', payload = '', signature = ''] = rsa.text.split('.');
  const renamed = (alg: string) => {
    const header = JSON.stringify({ ...JSON.parse(Buffer.from(head, 'base64url').toString()), alg });
    return `${Buffer.from(header).toString('base64url')}.${payload}.${signature}`;
  };
  for (const alg of ['none', 'HS256', 'RS384', 'PS256', 'ES256', 'EdDSA', 'constructor', '__proto__', ''])
    t.notOk(isGood(renamed(alg), rsa.key), alg);
  const ec = await signed('ES256');
  const jwk = await exportJWK(ec.privateKey);
  const at = ec.text.lastIndexOf('.');
  const der = createSign('sha256')
    .update(ec.text.slice(0, at))
    .sign(createPrivateKey({ key: { ...jwk }, format: 'jwk' }));
  t.notOk(isGood(`${ec.text.slice(0, at)}.${der.toString('base64url')}`, ec.key), 'ECDSA in DER');
  t.notOk(isGood(ec.text, { ...ec.key, x: ec.key.y }), 'a point that is not on the curve');
  t.equal(keyFor({ alg: 'ES256', kid: 'one' }, { keys: [rsa.key], algorithms }), undefined, 'a key of another type');
  t.equal(
    readJwt((await signed('RS256', { crit: ['exp'] }).catch(() => ({ text: critical }))).text),
    undefined,
    'crit',
  );
  t.ok(await compactVerify(rsa.text, await importJWK(rsa.key, 'RS256')), 'as the other implementation has it');
});

/** {"alg":"RS256","crit":["x"],"x":1} */
const critical = `${Buffer.from('{"alg":"RS256","crit":["x"],"x":1}').toString('base64url')}.e30.AA`;
