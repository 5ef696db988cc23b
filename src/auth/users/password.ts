// Passwords: argon2id, never more than two hashes at once. A hash is 19 MiB and some 50 ms of a core by intention, so a
// flood of logins waits in a short queue and is then refused, instead of taking the memory and the cores of everything else.
// https://www.rfc-editor.org/rfc/rfc9106, https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { FhirError } from '../../base/outcome.ts';
import { isCommonPassword } from './common-passwords.ts';

export interface Passwords {
  /** `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. Throws FhirError('unavailable') when too many wait. */
  hash(password: string): Promise<string>;
  /** False, after the same work, for a person without password or an unknown one (undefined). */
  verify(password: string, hash: string | undefined): Promise<boolean>;
}

const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;
/** Compared with where there is no password, so that the answer takes as long. Nothing hashes to zeros. */
const NOBODY = `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;

export const PASSWORD_CHARS_MIN = 12;
const PASSWORD_CHARS_MAX = 128;
const AT_ONCE = 2;
/** At 50 ms each and two at once, who is last waits 1.5 s. */
const WAITING_MAX = 60;

export function createPasswords(): Passwords {
  const turn = createTurns();
  return {
    async hash(password) {
      const salt = randomBytes(16);
      const hash = await turn(() => derive(password, salt, COST));
      const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
      return `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${base64(salt)}$${base64(hash)}`;
    },
    async verify(password, hash) {
      const known = parsedHash(hash ?? NOBODY);
      const isLong = password.length > PASSWORD_CHARS_MAX;
      const derived = await turn(() => derive(isLong ? '' : password, known.salt, known.cost));
      return timingSafeEqual(derived, known.hash) && hash !== undefined && !isLong;
    },
  };
}

/** What is wrong with a password that a person wants, as a sentence; undefined when it will do. */
export function problemWithPassword(password: string, { login }: { login: string }): string | undefined {
  const characters = [...password.normalize('NFKC')].length;
  if (characters < PASSWORD_CHARS_MIN) {
    return `The password must have at least ${PASSWORD_CHARS_MIN} characters; a few words that you make up are good.`;
  }
  if (password.length > PASSWORD_CHARS_MAX) return `The password may have at most ${PASSWORD_CHARS_MAX} characters.`;
  if (isCommonPassword(password, login)) {
    return 'This password is one of those that are tried first, or much like your login name; choose another one.';
  }
  return undefined;
}

interface Cost {
  memory: number;
  passes: number;
  parallelism: number;
  tagLength: number;
}

function parsedHash(text: string): { cost: Cost; salt: Buffer; hash: Buffer } {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text);
  if (match === null) throw new Error('a password hash is not in the form that this server writes');
  const [, memory, passes, parallelism, salt = '', hash = ''] = match;
  const bytes = Buffer.from(hash, 'base64');
  return {
    cost: {
      memory: Number(memory),
      passes: Number(passes),
      parallelism: Number(parallelism),
      tagLength: bytes.length,
    },
    salt: Buffer.from(salt, 'base64'),
    hash: bytes,
  };
}

function derive(password: string, nonce: Buffer, cost: Cost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The same password typed on another keyboard may be other code points: NIST SP 800-63B 3.1.1.2 asks for one form.
    argon2('argon2id', { ...cost, message: password.normalize('NFKC'), nonce }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

/** Runs work two at a time, the rest in the order of coming. */
function createTurns(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (waiting.length >= WAITING_MAX) {
      throw new FhirError('unavailable', 'Many people are signing in at this moment; try again in a few seconds.');
    }
    if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      // Whoever waits longest takes over this place.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
