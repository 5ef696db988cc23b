// A guarded server on an authentication that a test makes up: each token is the name of whom it stands for.
import type { Authentication, AuthRoute } from '../../src/auth/exchange.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { anonymousCaller } from '../../src/fhir/access/callers.ts';
import type { Principal } from '../../src/fhir/caller.ts';
import type { Guarded } from '../../src/http/guard.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { type Fake, fakeServer, type Perform } from './support.ts';

export interface GuardedFake extends Fake {
  /** Authorization headers that were looked at, with the address they came from. */
  asked: [authorization: string, address: string][];
}

export interface GuardedOptions {
  perform?: Perform;
  routes?: readonly AuthRoute[];
  access?: Partial<Guarded>;
  server?: Partial<HttpServerOptions>;
}

/** `good` is a person's token, `app-x` one of client x without a person; anything else is none. */
export function guardedServer({ perform, routes = [], access = {}, server = {} }: GuardedOptions = {}): GuardedFake {
  const asked: GuardedFake['asked'] = [];
  const authentication: Authentication<Principal> = {
    routes,
    async authenticate(authorization, address) {
      asked.push([authorization ?? '', address]);
      const token = authorization?.replace(/^bearer +/i, '') ?? '';
      if (!/^(good|app-.+)$/.test(token)) throw new FhirError('login', 'The token is not valid.');
      return principal(token);
    },
  };
  const guarded: Guarded = {
    kind: 'guarded',
    authentication,
    callerOf: (principal) => ({ ...anonymousCaller, kind: 'principal', principal }),
    trustedProxies: [],
    corsOrigins: 'any',
    acceptsPlainHttp: false,
    limitsRates: true,
    metricsFrom: ['127.0.0.0/8'],
    ...access,
  };
  return { ...fakeServer(perform, { access: guarded, checkHost: false, ...server }), asked };
}

export function principal(token: string): Principal {
  const user = { id: 'u1', fhirUser: 'Practitioner/1', roles: ['clinician'], clearance: [] };
  return { client: token, grant: 'g', scopes: [], purpose: 'TREAT', ...(token === 'good' ? { user } : {}) };
}
