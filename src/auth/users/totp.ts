// Codes of an authenticator app: six digits that change every 30 seconds. https://www.rfc-editor.org/rfc/rfc6238
import { Secret, TOTP } from 'otpauth';

const PERIOD_S = 30;

/** 160 random bits, base32: what RFC 4226 recommends. */
export const newTotpSecret = (): string => new Secret({ size: 20 }).base32;

/** For the QR code: `otpauth://totp/careloom:jo?secret=…&issuer=careloom`. */
export function totpUri({ secret, login, issuer }: { secret: string; login: string; issuer: string }): string {
  return new TOTP({ secret: Secret.fromBase32(secret), issuer, label: login, period: PERIOD_S }).toString();
}

/**
 * The step (30 s since the epoch) that a code belongs to, one before and one after being allowed for clocks that differ;
 * undefined for a wrong code. Whoever takes it must remember the step and refuse it and all earlier ones from then on.
 */
export function totpStep({ secret, code, now }: { secret: string; code: string; now: number }): number | undefined {
  const digits = code.replace(/\s/g, '');
  if (!/^\d{6}$/.test(digits)) return undefined;
  const totp = new TOTP({ secret: Secret.fromBase32(secret), period: PERIOD_S });
  const delta = totp.validate({ token: digits, timestamp: now, window: 1 });
  return delta === null ? undefined : Math.floor(now / 1000 / PERIOD_S) + delta;
}
