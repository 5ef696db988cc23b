// Writes an answer to the socket: one head, one piece where it is small, the pieces as they are where they are large.
import { pipeline } from 'node:stream';
import type { Answer } from '../fhir/interaction.ts';
import { type Coding, codingFor, compressedBytesMin, encoderFor, isCompressible } from './compress.ts';
import type { Failure } from './errors.ts';
import { HSTS } from './hsts.ts';
import { defaultContentType } from './media.ts';
import type { HttpRequest } from './request.ts';

/**
 * What a reply of the API forbids a browser that got hold of it. A constant: @fastify/helmet, which the pages use, costs
 * two hooks and twelve headers a request, most of which mean nothing for JSON.
 */
const safetyHeaders: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Referrer-Policy',
  'no-referrer',
  'Vary',
  'Accept, Accept-Encoding',
];

const safetyHeadersByTls: readonly string[] = [...safetyHeaders, ...HSTS];

/** For an answer that brings none of its own. */
const contentPolicy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

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
  const head = [...(request.hasHsts ? safetyHeadersByTls : safetyHeaders), 'X-Request-Id', request.id];
  const coding = bytes < compressedBytesMin ? undefined : codingOf(request, { status, headers });
  if (headers['Content-Security-Policy'] === undefined) head.push('Content-Security-Policy', contentPolicy);
  if (headers['Cache-Control'] === undefined) head.push('Cache-Control', 'no-store');
  if (bytes > 0 && headers['Content-Type'] === undefined) {
    head.push('Content-Type', request.replyType ?? defaultContentType);
  }
  // 204 and 304 have no content by definition, and no length; what is compressed has one only when it is sent.
  if (coding !== undefined) head.push('Content-Encoding', coding);
  else if (status !== 204 && status !== 304) head.push('Content-Length', String(bytes));
  if (isClosing) head.push('Connection', 'close');
  for (const [name, value] of request.cors) head.push(name, value);
  for (const name in headers) head.push(name, headers[name] ?? '');
  response.writeHead(status, head);
  if (bytes === 0 || request.method === 'HEAD') response.end();
  else if (coding !== undefined) sendCompressed(response, pieces, coding);
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

/** The coding that the client takes; undefined for what is a part, compressed already, or no text. */
function codingOf(request: HttpRequest, { status, headers }: Pick<Message, 'status' | 'headers'>): Coding | undefined {
  const accepted = request.raw.headers['accept-encoding'];
  if (typeof accepted !== 'string' || status === 206) return undefined;
  // The entity tag and the parts of a raw Binary are of its very bytes.
  if (headers['Accept-Ranges'] !== undefined || headers['Content-Encoding'] !== undefined) return undefined;
  return isCompressible(headers['Content-Type']) ? codingFor(accepted) : undefined;
}

/** Compressed on other threads, run by run; the pieces themselves are in memory already. */
function sendCompressed(response: HttpRequest['response'], pieces: readonly Uint8Array[], coding: Coding): void {
  const encoder = encoderFor(coding);
  for (const run of runsOf(pieces)) encoder.write(run);
  encoder.end();
  // What fails is the client that went away; its response is destroyed by then.
  pipeline(encoder, response, () => {});
}

/** The socket gets everything in one go. */
function sendLarge(response: HttpRequest['response'], pieces: readonly Uint8Array[]): void {
  response.cork();
  for (const run of runsOf(pieces)) response.write(run);
  response.end();
  response.uncork();
}

/** Joins runs of small pieces and leaves the large ones where they are. */
function* runsOf(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let run: Uint8Array[] = [];
  let runBytes = 0;
  for (const piece of pieces) {
    if (runBytes > 0 && runBytes + piece.length > copiedBytesMax) {
      yield joined(run, runBytes);
      run = [];
      runBytes = 0;
    }
    run.push(piece);
    runBytes += piece.length;
  }
  if (runBytes > 0) yield joined(run, runBytes);
}
