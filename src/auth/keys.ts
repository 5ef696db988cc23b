// The keys that sign id_tokens: RSA for RS256, which SMART asks for. A new one every 90 days; old public halves stay
// published until nothing signed by them can be valid; private halves are encrypted where they are kept.
// https://www.rfc-editor.org/rfc/rfc7517
import type { AuthContext } from './context.ts';
import { importSigningKey, newSigningKey, type SigningKey, signJwt } from './jwt.ts';
import { createKept, type KeptValue } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { createVault } from './secret-value.ts';

interface KeptKey {
  kid: string;
  publicJwk: Record<string, unknown>;
  /** The private JWK, encrypted. */
  sealed: string;
  created: number;
}

export interface Keys {
  /** Signs claims with the key of the day. */
  sign(claims: Record<string, unknown>): Promise<string>;
  /** The public halves, as a JWK Set. */
  published(): Promise<{ keys: object[] }>;
}

type Options = Pick<AuthContext, 'records' | 'clock' | 'onFault'> & { secret: string };

/** All keys stand in one record, so that servers on one store agree on them by compare-and-set. */
const ID = 'id-token';

export function createKeys({ records, clock, onFault, secret }: Options): Keys {
  const kept = createKept<readonly KeptKey[]>(records, 'signing-keys');
  const vault = createVault(secret, 'signing keys');
  const opened = new Map<string, Promise<SigningKey>>();

  return {
    async sign(claims) {
      const { kid, key } = await current();
      return signJwt(claims, { kid, key });
    },
    async published() {
      await current();
      const found = await kept.get(ID);
      return {
        keys: (found?.value ?? []).map(({ kid, publicJwk }) => ({ ...publicJwk, kid, alg: 'RS256', use: 'sig' })),
      };
    },
  };

  async function current(): Promise<{ kid: string; key: SigningKey }> {
    for (;;) {
      const found = await kept.get(ID);
      const newest = found?.value[0];
      if (newest !== undefined && newest.created + lifetimes.signingKey > clock.now()) {
        const key = await open(newest);
        if (key !== undefined) return { kid: newest.kid, key };
      }
      await addNew(found);
    }
  }

  /** Undefined for a key that was encrypted with another secret: it can still be published, but signs no more. */
  async function open({ kid, sealed }: KeptKey): Promise<SigningKey | undefined> {
    try {
      const key = opened.get(kid) ?? importSigningKey(JSON.parse(vault.open(sealed)) as Record<string, unknown>);
      opened.set(kid, key);
      return await key;
    } catch (error) {
      opened.delete(kid);
      onFault(error);
      return undefined;
    }
  }

  async function addNew(found: KeptValue<readonly KeptKey[]> | undefined): Promise<void> {
    const { publicJwk, privateJwk } = await newSigningKey();
    const created = clock.now();
    const key = { kid: clock.newId(), publicJwk, sealed: vault.close(JSON.stringify(privateJwk)), created };
    if (found === undefined) {
      await kept.add(ID, [key]);
      return;
    }
    // The one before was used until now; those before it are judged by when their successor came.
    const still = found.value.filter((_, index) => {
      const successor = found.value[index - 1]?.created ?? created;
      return successor + lifetimes.idToken + lifetimes.oldSigningKey > created;
    });
    await kept.replace(ID, found, [key, ...still]);
  }
}
