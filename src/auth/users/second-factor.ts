// What a person has besides the password, and the taking of it: a code of an app or a recovery code, each once.
import type { Clock } from '../../base/clock.ts';
import type { Keys } from './keys.ts';
import { newRecoveryCodes, recoveryHash } from './recovery.ts';
import { totpStep } from './totp.ts';
import type { User, Users } from './user.ts';

/** Whoever reaches other people's records needs one; only a person who is nothing but a patient may do without. */
export const needsSecondFactor = ({ roles, isDemo }: Pick<User, 'roles' | 'isDemo'>): boolean =>
  isDemo !== true && !(roles.length > 0 && roles.every((role) => role === 'patient'));

export const hasSecondFactor = ({ totp, passkeys }: Pick<User, 'totp' | 'passkeys'>): boolean =>
  totp !== undefined || passkeys.length > 0;

export interface SecondFactors {
  /** Whether the code of an app is right and was not used before; it is used then. */
  takeTotp(user: User, code: string): Promise<boolean>;
  /** Whether it is one of the recovery codes that are left; it is not left any more then. */
  takeRecoveryCode(user: User, code: string): Promise<boolean>;
  /** Encrypted for this person, as it may be kept. */
  sealTotpSecret(user: string, secret: string): string;
  openTotpSecret(user: string, sealed: string): string | undefined;
  /** Keeps the secret when the code proves that the app has it; false when it does not. */
  addTotp(user: string, sealedSecret: string, code: string): Promise<boolean>;
  /** Ten new codes in place of what was left. */
  renewRecoveryCodes(user: string): Promise<string[]>;
}

interface Parts {
  users: Users;
  keys: Keys;
  clock: Clock;
}

export function createSecondFactors({ users, keys, clock }: Parts): SecondFactors {
  const open = (user: string, sealed: string): string | undefined => keys.open('totp', user, sealed);
  const stepOf = (user: string, sealed: string, code: string): number | undefined => {
    const secret = open(user, sealed);
    return secret === undefined ? undefined : totpStep({ secret, code, now: clock.now() });
  };
  return {
    async takeTotp({ id }, code) {
      const changed = await users.change(id, (user) => {
        const { totp } = user;
        const step = totp === undefined ? undefined : stepOf(id, totp.secret, code);
        if (totp === undefined || step === undefined || step <= totp.usedStep) return undefined;
        return { ...user, totp: { ...totp, usedStep: step } };
      });
      return changed !== undefined;
    },
    async takeRecoveryCode({ id }, code) {
      const hash = recoveryHash(keys, id, code);
      const changed = await users.change(id, (user) => {
        const isLeft = hash !== undefined && user.recoveryCodes.includes(hash);
        return isLeft ? { ...user, recoveryCodes: user.recoveryCodes.filter((each) => each !== hash) } : undefined;
      });
      return changed !== undefined;
    },
    sealTotpSecret: (user, secret) => keys.seal('totp', user, secret),
    openTotpSecret: open,
    async addTotp(id, sealedSecret, code) {
      const step = stepOf(id, sealedSecret, code);
      if (step === undefined) return false;
      const totp = { secret: sealedSecret, usedStep: step, added: clock.now() };
      return (await users.change(id, (user) => ({ ...user, totp }))) !== undefined;
    },
    async renewRecoveryCodes(id) {
      const codes = newRecoveryCodes();
      const recoveryCodes = codes.flatMap((code) => recoveryHash(keys, id, code) ?? []);
      await users.change(id, (user) => ({ ...user, recoveryCodes }));
      return codes;
    },
  };
}
