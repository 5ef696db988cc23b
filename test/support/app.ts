// The whole app without a socket: the real HTTP edge, the real engine and a real store.
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import type { Store } from '../../src/store/store.ts';

export interface Sent {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD' | 'PATCH' | 'OPTIONS';
  headers?: Record<string, string>;
  /** An object goes as JSON; text and bytes as they are. */
  body?: object | string | Buffer;
}

export interface Reply {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind
  json: any;
  /** `diagnostics` of the first issue, '' when the answer is no OperationOutcome. */
  says: string;
}

/** `path` begins with a slash and is not touched. A body without a Content-Type of its own is FHIR JSON. */
export type Ask = (path: string, sent?: Sent) => Promise<Reply>;

/** The app on an open store, and how to ask it. Closing the store is the caller's business. */
export async function askApp(store: Store): Promise<Ask> {
  const config = readConfig({ CARELOOM_AUTH: 'off', CARELOOM_LOG_LEVEL: 'silent', CARELOOM_TIME_ZONE: 'UTC' });
  const app = await createApp(config, { store });
  const server = await app.server();
  return async (path, { method = 'GET', headers = {}, body } = {}) => {
    const payload =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const reply = await server.inject({
      method,
      url: path,
      headers: { ...(payload === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
    const text = reply.payload;
    const isJson = String(reply.headers['content-type'] ?? '').includes('json') && text !== '';
    const json = isJson ? JSON.parse(text) : undefined;
    return { status: reply.statusCode, headers: reply.headers, text, json, says: json?.issue?.[0]?.diagnostics ?? '' };
  };
}
