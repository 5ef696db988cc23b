// Who is at the other end of a connection: the peer itself, or whom a trusted proxy speaks for.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Proxies in a row that are looked through; nobody has so many. */
const forwardsMax = 20;

/** Addresses and networks, as `10.0.0.0/8, ::1`. */
export class Networks {
  readonly #list = new BlockList();

  /** Throws for what is neither an address nor a network; see isNetwork. */
  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [address = '', bits] = network.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      this.#list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
    }
  }

  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 6 ? 'ipv6' : 'ipv4');
  }
}

const loopback = new Networks(['127.0.0.0/8', '::1']);

export class Peers {
  /** Whether the word of any proxy counts. */
  readonly trustsAny: boolean;
  readonly #proxies: Networks;

  /** `trustedProxies`: those whose X-Forwarded-For and X-Forwarded-Proto count. */
  constructor(trustedProxies: readonly string[]) {
    this.trustsAny = trustedProxies.length > 0;
    this.#proxies = new Networks(trustedProxies);
  }

  /** The client's address: the last one that no trusted proxy has, as the nearest trusted proxy tells it. */
  addressOf(raw: IncomingMessage): string {
    let address = peerOf(raw);
    const forwarded = raw.headers['x-forwarded-for'];
    if (forwarded === undefined || !this.#proxies.has(address)) return address;
    const told = (typeof forwarded === 'string' ? forwarded : forwarded.join(',')).split(',').slice(-forwardsMax);
    for (const text of told.reverse()) {
      const before = withoutPort(text.trim());
      if (isIP(before) === 0) return address;
      address = plainAddress(before);
      if (!this.#proxies.has(address)) return address;
    }
    return address;
  }

  /** True when nobody on the way could read along: it came over TLS, also as far as a trusted proxy, or from this machine. */
  isPrivate(raw: IncomingMessage): boolean {
    const peer = peerOf(raw);
    return this.isByTls(raw) || (!this.#proxies.has(peer) && loopback.has(peer));
  }

  /** Whether the client speaks TLS, with this server or with a trusted proxy before it. */
  isByTls(raw: IncomingMessage): boolean {
    if ('encrypted' in raw.socket && raw.socket.encrypted === true) return true;
    if (!this.#proxies.has(peerOf(raw))) return false;
    // What stands before the last was there when the proxy got the request: the client may have written it.
    return String(raw.headers['x-forwarded-proto']).split(',').at(-1)?.trim() === 'https';
  }
}

function peerOf(raw: IncomingMessage): string {
  return plainAddress(raw.socket.remoteAddress ?? '');
}

/** IPv4 as IPv4, also where a socket for both has it as `::ffff:10.0.0.1`. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

/** `10.0.0.1:4711` and `[::1]:4711` as some proxies write them. */
function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1] ?? '';
  return /^[\d.]+:\d+$/.test(text) ? text.slice(0, text.indexOf(':')) : text;
}
