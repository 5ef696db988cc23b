// A device with passkeys, in software: ES256 keys, attestation "none", as https://www.w3.org/TR/webauthn-3/ lays the bytes out.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

const sha256 = (bytes: string | Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

interface Choices {
  origin: string;
  /** Whether the device asked for a finger or a PIN. */
  isVerified?: boolean;
  /** Synchronised by a cloud. */
  isSynced?: boolean;
}

export class Authenticator {
  readonly #origin: string;
  readonly #isSynced: boolean;
  isVerified: boolean;
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly id = randomBytes(16);
  counter = 0;

  constructor({ origin, isVerified = true, isSynced = false }: Choices) {
    this.#origin = origin;
    this.isVerified = isVerified;
    this.#isSynced = isSynced;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    this.#publicKey = publicKey;
  }

  /** What navigator.credentials.create yields, in the JSON that the page's script sends. */
  create(options: { challenge: string; rp: { id: string } }, attestation: 'none' | 'packed' = 'none'): string {
    const data = Buffer.concat([
      this.#authenticatorData(options.rp.id, 0x40),
      Buffer.alloc(16),
      Buffer.from([0, this.id.length]),
      this.id,
      this.#coseKey(),
    ]);
    const client = this.#clientData('webauthn.create', options.challenge);
    const signature = sign('sha256', Buffer.concat([data, sha256(client)]), this.#key);
    // "packed" without certificates: the new key signs itself.
    const statement: [Buffer, Buffer][] = [
      [text('alg'), integer(-7)],
      [text('sig'), bytes(signature)],
    ];
    const object = map([
      [text('fmt'), text(attestation)],
      [text('attStmt'), map(attestation === 'none' ? [] : statement)],
      [text('authData'), bytes(data)],
    ]);
    return this.#answer({
      clientDataJSON: client.toString('base64url'),
      attestationObject: object.toString('base64url'),
      transports: ['internal'],
    });
  }

  /** What navigator.credentials.get yields. */
  get(options: { challenge: string; rpId: string }): string {
    this.counter++;
    const data = this.#authenticatorData(options.rpId, 0);
    const client = this.#clientData('webauthn.get', options.challenge);
    return this.#answer({
      clientDataJSON: client.toString('base64url'),
      authenticatorData: data.toString('base64url'),
      signature: sign('sha256', Buffer.concat([data, sha256(client)]), this.#key).toString('base64url'),
    });
  }

  #answer(response: object): string {
    const id = this.id.toString('base64url');
    return JSON.stringify({ id, rawId: id, type: 'public-key', clientExtensionResults: {}, response });
  }

  #clientData(type: string, challenge: string): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.#origin, crossOrigin: false }));
  }

  #authenticatorData(rpId: string, more: number): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const flags = 0x01 | (this.isVerified ? 0x04 : 0) | (this.#isSynced ? 0x18 : 0) | more;
    return Buffer.concat([sha256(rpId), Buffer.from([flags]), counter]);
  }

  /** {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y} */
  #coseKey(): Buffer {
    const { x = '', y = '' } = this.#publicKey.export({ format: 'jwk' });
    return map([
      [integer(1), integer(2)],
      [integer(3), integer(-7)],
      [integer(-1), integer(1)],
      [integer(-2), bytes(Buffer.from(x, 'base64url'))],
      [integer(-3), bytes(Buffer.from(y, 'base64url'))],
    ]);
  }
}

/** Head of a CBOR item: major type and a length or value below 2^16. */
function head(major: number, value: number): Buffer {
  if (value < 24) return Buffer.from([(major << 5) | value]);
  return value < 256
    ? Buffer.from([(major << 5) | 24, value])
    : Buffer.from([(major << 5) | 25, value >> 8, value & 0xff]);
}

const integer = (value: number): Buffer => (value >= 0 ? head(0, value) : head(1, -1 - value));
const bytes = (value: Buffer): Buffer => Buffer.concat([head(2, value.length), value]);
const text = (value: string): Buffer => Buffer.concat([head(3, value.length), Buffer.from(value)]);
const map = (pairs: [Buffer, Buffer][]): Buffer => Buffer.concat([head(5, pairs.length), ...pairs.flat()]);
