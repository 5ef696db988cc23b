// HTTP Strict Transport Security: who reached this server by TLS once reaches it by nothing else for a year.
// https://www.rfc-editor.org/rfc/rfc6797
import type { IncomingMessage } from 'node:http';
import type { Peers } from './peers.ts';

/** Name and value, as `writeHead` takes them. */
export const HSTS = ['Strict-Transport-Security', 'max-age=31536000; includeSubDomains'] as const;

/** Whether the answer to a request is to have it. */
export type HasHsts = (raw: IncomingMessage) => boolean;

interface Reached {
  /** The server does TLS itself, or its base URL says that it is reached so. */
  isAlwaysByTls: boolean;
  peers: Peers | undefined;
}

/** A browser that came in the clear ignores it, so that only where proxies are trusted each request is looked at. */
export function hasHsts({ isAlwaysByTls, peers }: Reached): HasHsts {
  if (isAlwaysByTls) return () => true;
  if (peers?.trustsAny !== true) return () => false;
  return (raw) => peers.isByTls(raw);
}
