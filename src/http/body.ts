// Reads a request body as bytes, within its bound; the engine parses it. What is refused is refused before it is read,
// and the rest of it is drained, so that the client gets to see the answer.
import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { decoderFor } from './inflate.ts';
import { type BodyUse, requestMediaType } from './media.ts';

/**
 * Bytes of bodies in memory at once, over all requests: requestsAtOnceMax full-sized Bundles would be 32 GB.
 * A body that would go beyond is answered 503.
 */
const bodyBytesAtOnceMax = 512 * 1024 * 1024;

/** Bytes of a refused body that are read and dropped before the connection is cut. */
const drainedBytesMax = 2 * limits.bundleBytesMax;

const nothing = new Uint8Array(0);

/** What the bodies being read and worked on hold at this moment. One for each server. */
export class BodyBudget {
  #bytes = 0;

  /** False when there is no room. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > bodyBytesAtOnceMax) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/**
 * The body, inflated where it came compressed, or why it is not taken. The bytes count against the budget until the
 * caller releases them.
 */
export function readBody(
  raw: IncomingMessage,
  { use, budget }: { use: BodyUse; budget: BodyBudget },
  done: (body: Uint8Array | FhirError) => void,
): void {
  const bytesMax = use === 'bundle' ? limits.bundleBytesMax : limits.resourceBytesMax;
  const length = raw.headers['content-length'];
  if (raw.headers['transfer-encoding'] === undefined && (length === undefined || length === '0')) {
    done(nothing);
    return;
  }
  if (raw.destroyed && !raw.complete) {
    // Gone while its token was looked at: no event will come any more.
    done(new FhirError('invalid', 'The body ended before it was complete'));
    return;
  }
  const decoder = checkedDecoder(raw, { use, bytesMax });
  if (decoder instanceof FhirError) {
    drain(raw);
    done(decoder);
    return;
  }
  collect(raw, { decoder, bytesMax, budget }, done);
}

/** What takes a compression off the body, undefined for none; or why the body is not to be read at all. */
function checkedDecoder(
  raw: IncomingMessage,
  { use, bytesMax }: { use: BodyUse; bytesMax: number },
): Transform | FhirError | undefined {
  const { 'content-type': type, 'content-encoding': encoding, 'content-length': length } = raw.headers;
  try {
    requestMediaType(type, use);
    return Number(length ?? 0) > bytesMax ? tooLarge(bytesMax) : decoderFor(encoding);
  } catch (error) {
    if (error instanceof FhirError) return error;
    throw error;
  }
}

function tooLarge(bytesMax: number): FhirError {
  return new FhirError(
    'too-large',
    `The body is larger than ${bytesMax} bytes` +
      (bytesMax < limits.bundleBytesMax
        ? `; a batch or transaction POSTed to the base may have ${limits.bundleBytesMax}`
        : '; split it, or load it with `careloom load`'),
  );
}

function collect(
  raw: IncomingMessage,
  { decoder, bytesMax, budget }: { decoder: Transform | undefined; bytesMax: number; budget: BodyBudget },
  done: (body: Uint8Array | FhirError) => void,
): void {
  const source = decoder === undefined ? raw : raw.pipe(decoder);
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isDone = false;
  const finish = (result: Uint8Array | FhirError) => {
    if (isDone) return;
    isDone = true;
    source.off('data', onData);
    if (result instanceof FhirError) {
      budget.release(bytes);
      if (decoder !== undefined) raw.unpipe(decoder);
      decoder?.destroy();
      drain(raw);
    }
    done(result);
  };
  const onData = (chunk: Buffer) => {
    if (bytes + chunk.length > bytesMax) {
      finish(tooLarge(bytesMax));
    } else if (!budget.take(chunk.length)) {
      finish(new FhirError('unavailable', 'The server holds too many large bodies now; try again in a few seconds'));
    } else {
      bytes += chunk.length;
      chunks.push(chunk);
    }
  };
  source.on('data', onData);
  source.on('end', () => finish(chunks.length === 1 ? (chunks[0] ?? nothing) : Buffer.concat(chunks, bytes)));
  decoder?.on('error', () =>
    finish(new FhirError('invalid', 'The body is not compressed as its Content-Encoding says')),
  );
  raw.on('error', () => finish(new FhirError('invalid', 'The body ended before it was complete')));
  raw.on('close', () => {
    // A complete body may still be in the decoder.
    if (decoder === undefined || raw.complete === false)
      finish(new FhirError('invalid', 'The body ended before it was complete'));
  });
}

/** Reads on without keeping anything: a connection closed on unread bytes is reset, and the answer lost with it. */
export function drain(raw: IncomingMessage): void {
  let bytes = 0;
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > drainedBytesMax) raw.destroy();
  });
  raw.on('error', () => {});
  // What was piped and is no more is paused, and a listener alone does not start it again.
  raw.resume();
}
