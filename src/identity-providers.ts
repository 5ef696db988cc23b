// The file of CARELOOM_IDENTITY_PROVIDERS: where else people may prove who they are.
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import type { IdentityProvider } from './auth/users/external-login.ts';
import { ConfigError } from './config.ts';

const url = { type: 'string', pattern: '^https://' } as const;
const text = { type: 'string', minLength: 1 } as const;
const texts = { type: 'array', items: text } as const;

const schema = {
  type: 'array',
  maxItems: 10,
  items: {
    type: 'object',
    additionalProperties: false,
    required: [
      ...['id', 'name', 'issuer', 'authorizationEndpoint', 'tokenEndpoint', 'jwksUri', 'clientId', 'clientSecret'],
    ],
    properties: {
      id: { type: 'string', pattern: '^[a-z0-9-]{1,30}$' },
      name: { type: 'string', minLength: 1, maxLength: 60 },
      issuer: url,
      authorizationEndpoint: url,
      tokenEndpoint: url,
      jwksUri: url,
      clientId: text,
      clientSecret: text,
      secondFactor: { type: 'object', additionalProperties: false, properties: { acr: texts, amr: texts } },
    },
  },
} as const;

/** Throws ConfigError saying what in the file is wrong; its secrets are not repeated. */
export function readIdentityProviders(file: string): IdentityProvider[] {
  const check = new Ajv({ allErrors: true }).compile<IdentityProvider[]>(schema);
  const value = parsed(file);
  if (!check(value)) {
    const problems = (check.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`);
    throw new ConfigError(problems.map((problem) => `CARELOOM_IDENTITY_PROVIDERS: in ${file}, ${problem}`));
  }
  if (new Set(value.map(({ id }) => id)).size < value.length)
    throw new ConfigError([`CARELOOM_IDENTITY_PROVIDERS: in ${file}, each id must be there once`]);
  return value;
}

function parsed(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new ConfigError([`CARELOOM_IDENTITY_PROVIDERS: ${file} ${why}`]);
  }
}
