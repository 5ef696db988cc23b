// The file of CARELOOM_ISSUERS: which other authorization servers' tokens for machines count, and for how much.
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import type { ExternalIssuer } from './auth/external-issuers.ts';
import { ConfigError } from './config.ts';

const texts = { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } } as const;

const schema = {
  type: 'array',
  maxItems: 50,
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['issuer', 'jwksUri', 'audience', 'scopes'],
    properties: {
      issuer: { type: 'string', pattern: '^https://' },
      jwksUri: { type: 'string', pattern: '^https://' },
      audience: { type: 'string', minLength: 1 },
      types: texts,
      algorithms: {
        type: 'array',
        minItems: 1,
        items: { enum: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'] },
      },
      claims: {
        type: 'object',
        additionalProperties: false,
        properties: { client: { type: 'string', minLength: 1 }, scope: { type: 'string', minLength: 1 } },
      },
      scopes: { type: 'array', minItems: 1, items: { type: 'string', pattern: '^system/' } },
      clients: texts,
    },
  },
} as const;

type Given = Omit<ExternalIssuer, 'types' | 'algorithms' | 'claims'> &
  Partial<Pick<ExternalIssuer, 'types' | 'algorithms'>> & { claims?: Partial<ExternalIssuer['claims']> };

/** Throws ConfigError saying what in the file is wrong. */
export function readIssuers(file: string): ExternalIssuer[] {
  const check = new Ajv({ allErrors: true }).compile<Given[]>(schema);
  const value = parsed(file);
  if (!check(value)) {
    const problems = (check.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`);
    throw new ConfigError(problems.map((problem) => `CARELOOM_ISSUERS: in ${file}, ${problem}`));
  }
  return value.map(({ types = ['at+jwt'], algorithms = ['RS256', 'ES256'], claims = {}, ...issuer }) => ({
    ...issuer,
    types,
    algorithms,
    claims: { client: 'client_id', scope: 'scope', ...claims },
  }));
}

function parsed(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new ConfigError([`CARELOOM_ISSUERS: ${file} ${why}`]);
  }
}
