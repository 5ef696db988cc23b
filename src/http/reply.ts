// Writes an answer to the socket: one head, one piece where it is small, the pieces as they are where they are large.
import type { Answer } from '../fhir/interaction.ts';
import type { Failure } from './errors.ts';
import { defaultContentType } from './media.ts';
import type { HttpRequest } from './request.ts';

/**
 * What a reply of the API forbids a browser that got hold of it. A constant: @fastify/helmet, which the pages use, costs
 * two hooks and twelve headers a request, most of which mean nothing for JSON.
 */
const safetyHeaders: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy',
  'no-referrer',
];

/** Below this, copying the pieces into one costs less than writing them one by one. */
const copiedBytesMax = 64 * 1024;

/** Below this, head and body go out in one write: 0.93 of the CPU of a whole read by id, against a vector of two. */
const oneWriteBytesMax = 16 * 1024;

export interface ReplyOptions {
  /** The server is going down: tell the client not to use this connection again. */
  isClosing: boolean;
}

/** Sends an answer of the engine. Throws, with nothing sent yet, when a header cannot be written. */
export function sendAnswer(request: HttpRequest, answer: Answer, options: ReplyOptions): void {
  const pieces = piecesOf(answer.body);
  send(request, { status: answer.status, headers: answer.headers, pieces }, options);
}

/** Sends a failure as its OperationOutcome. */
export function sendFailure(request: HttpRequest, failure: Failure, options: ReplyOptions): void {
  send(request, { status: failure.status, headers: failure.headers, pieces: [failure.body] }, options);
}

function piecesOf(body: Answer['body']): readonly Uint8Array[] {
  if (body === undefined) return [];
  return body instanceof Uint8Array ? [body] : body;
}

interface Message {
  status: number;
  headers: Readonly<Record<string, string>>;
  pieces: readonly Uint8Array[];
}

function send(request: HttpRequest, { status, headers, pieces }: Message, { isClosing }: ReplyOptions): void {
  const { response } = request;
  const bytes = totalBytes(pieces);
  const head = [...safetyHeaders, 'X-Request-Id', request.id];
  if (headers['Cache-Control'] === undefined) head.push('Cache-Control', 'no-store');
  if (bytes > 0 && headers['Content-Type'] === undefined) {
    head.push('Content-Type', request.replyType ?? defaultContentType);
  }
  // 204 and 304 have no content by definition, and no length.
  if (status !== 204 && status !== 304) head.push('Content-Length', String(bytes));
  if (isClosing) head.push('Connection', 'close');
  for (const name in headers) head.push(name, headers[name] ?? '');
  response.writeHead(status, head);
  if (bytes === 0 || request.method === 'HEAD') response.end();
  else if (bytes <= oneWriteBytesMax) response.end(joined(pieces, bytes).toString('latin1'), 'latin1');
  else if (bytes <= copiedBytesMax) response.end(joined(pieces, bytes));
  else sendLarge(response, pieces);
}

/** One Buffer over the pieces. Sent as latin1 text, byte for byte, it shares one write with the head. */
function joined(pieces: readonly Uint8Array[], bytes: number): Buffer {
  const [first] = pieces;
  if (pieces.length > 1 || first === undefined) return Buffer.concat(pieces, bytes);
  return Buffer.isBuffer(first) ? first : Buffer.from(first.buffer, first.byteOffset, first.byteLength);
}

function totalBytes(pieces: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}

/** Joins runs of small pieces and leaves the large ones where they are; the socket gets them in one go. */
function sendLarge(response: HttpRequest['response'], pieces: readonly Uint8Array[]): void {
  response.cork();
  let run: Uint8Array[] = [];
  let runBytes = 0;
  const flush = () => {
    if (runBytes > 0) response.write(run.length === 1 ? run[0] : Buffer.concat(run, runBytes));
    run = [];
    runBytes = 0;
  };
  for (const piece of pieces) {
    if (runBytes + piece.length > copiedBytesMax) flush();
    run.push(piece);
    runBytes += piece.length;
  }
  flush();
  response.end();
  response.uncork();
}
