// The one client for requests that the server itself makes to addresses that others chose: keys of clients and issuers,
// endpoints of subscriptions. Nothing behind our own walls can be reached through it: https alone, no redirects, no
// credentials, known ports, and the address that a name resolves to is checked where the connection is made, so that a name
// that changes its mind between check and use gains nothing.
// https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
import { lookup as resolveName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Agent, request } from 'undici';

export interface OutboundRequest {
  url: string;
  method?: 'GET' | 'POST';
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  /** Of the answer. */
  bytesMax: number;
  /** From the look-up of the name to the last byte of the answer. */
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface OutboundAnswer {
  /** Redirects are answers like any other: nobody follows them. */
  status: number;
  header(name: string): string | undefined;
  body: Buffer;
}

/** The request was not made, or not answered as it had to be. The message names no address. */
export class OutboundError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'OutboundError';
  }
}

export interface Outbound {
  /** Throws OutboundError. */
  send(request: OutboundRequest): Promise<OutboundAnswer>;
  /** Says why no request will ever be made to this URL, whatever its name resolves to; undefined when it may be. */
  problemOf(url: string): string | undefined;
  close(): Promise<void>;
}

export interface OutboundOptions {
  /** For tests alone: this machine may be reached, and by http. */
  allowLoopback?: boolean;
  ports?: readonly number[];
  /** Stands in for the system's resolver, in tests. */
  resolve?: (name: string) => Promise<readonly { address: string; family: number }[]>;
}

const URL_CHARS_MAX = 2_048;

export function createOutbound(options: OutboundOptions = {}): Outbound {
  const { allowLoopback = false, ports = [443, 8443], resolve = systemResolve } = options;
  const isAllowed = (address: string) => isPublicAddress(address) || (allowLoopback && isLoopback(address));
  const lookup = guardedLookup(resolve, isAllowed);
  const agent = new Agent({ connect: { lookup, timeout: 3_000 }, connections: 8, maxHeaderSize: 16 * 1024 });
  const problemOf = (url: string) => urlProblem(url, { allowLoopback, ports, isAllowed });
  return {
    problemOf,
    close: () => agent.close(),
    async send({ url, method = 'GET', headers = {}, body, bytesMax, timeoutMs, signal }) {
      const problem = problemOf(url);
      if (problem !== undefined) throw new OutboundError(problem);
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        const answer = await request(url, {
          dispatcher: agent,
          method,
          headers: { 'accept-encoding': 'identity', ...headers },
          signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
          ...(body === undefined ? {} : { body }),
        });
        const kept = await readUpTo(answer.body, bytesMax);
        return { status: answer.statusCode, header: (name) => textOf(answer.headers[name]), body: kept };
      } catch (error) {
        if (error instanceof OutboundError) throw error;
        throw new OutboundError(deadline.aborted ? 'no answer in time' : 'the request failed', error);
      }
    },
  };
}

type Resolve = NonNullable<OutboundOptions['resolve']>;

const systemResolve: Resolve = (name) =>
  new Promise((resolve, reject) =>
    resolveName(name, { all: true }, (error, found) => (error === null ? resolve(found) : reject(error))),
  );

/** One forbidden address among several is enough to refuse: which of them is tried first is up to whoever answers. */
function guardedLookup(resolve: Resolve, isAllowed: (address: string) => boolean): LookupFunction {
  return (name, { all }, callback) => {
    resolve(name).then(
      (found) => {
        const [first] = found;
        if (first === undefined || !found.every(({ address }) => isAllowed(address)))
          callback(new OutboundError('its name leads to an address that must not be reached'), '');
        else if (all === true) callback(null, [...found]);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
}

interface UrlRules {
  allowLoopback: boolean;
  ports: readonly number[];
  isAllowed: (address: string) => boolean;
}

function urlProblem(text: string, { allowLoopback, ports, isAllowed }: UrlRules): string | undefined {
  if (text.length > URL_CHARS_MAX || !URL.canParse(text)) return 'it is not an absolute URL';
  const url = new URL(text);
  // An address in a URL is parsed by now: decimal, octal and hexadecimal forms are dotted, fullwidth digits are digits.
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isHere = allowLoopback && (host === 'localhost' || isLoopback(host));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isHere)) return 'it is not an https URL';
  if (url.username !== '' || url.password !== '') return 'it has credentials in it';
  if (!isHere && !ports.includes(Number(url.port === '' ? 443 : url.port)))
    return `its port is not ${ports.join(' or ')}`;
  if (isIP(host) !== 0 && !isAllowed(host)) return 'it leads to an address that must not be reached';
  if (isIP(host) === 0 && !isHere && !host.includes('.')) return 'its host is not a full name';
  return undefined;
}

async function readUpTo(stream: AsyncIterable<Uint8Array> & { destroy(): unknown }, max: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > max) {
      stream.destroy();
      throw new OutboundError(`the answer has more than ${max} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

const textOf = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value;

/**
 * True for addresses of the public internet alone. https://www.iana.org/assignments/iana-ipv4-special-registry,
 * https://www.iana.org/assignments/iana-ipv6-special-registry. IPv6 that carries IPv4 (mapped, NAT64, 6to4, Teredo) is
 * none of them: no name on the internet needs it.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special4.check(address, 'ipv4');
    case 6:
      return global6.check(address, 'ipv6') && !special6.check(address, 'ipv6');
    default:
      return false;
  }
}

function isLoopback(address: string): boolean {
  return isIP(address) === 4 ? loopback.check(address, 'ipv4') : address === '::1';
}

const special4 = blockList('ipv4', [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  // Carriers' NAT, and the metadata service of one cloud.
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // Link-local: the metadata service of most clouds.
  ['169.254.0.0', 16],
  // The metadata service of Azure has a public address.
  ['168.63.129.16', 32],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
]);
const global6 = blockList('ipv6', [['2000::', 3]]);
const special6 = blockList('ipv6', [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]);
const loopback = blockList('ipv4', [['127.0.0.0', 8]]);

function blockList(family: 'ipv4' | 'ipv6', ranges: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [from, bits] of ranges) list.addSubnet(from, bits, family);
  return list;
}
