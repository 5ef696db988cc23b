// Reads a request body as bytes, within its bound; the engine parses it. What is refused is refused before it is read,
// and the rest of it is drained, so that the client gets to see the answer.
import type { IncomingMessage } from 'node:http';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { requestMediaType } from './media.ts';

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

export interface BodyUse {
  /** True for POST to the base: a batch or transaction. */
  isBundle: boolean;
  /** True for POST `_search`. */
  isSearch: boolean;
  budget: BodyBudget;
}

/** The body, or why it is not taken. The bytes count against the budget until the caller releases them. */
export function readBody(
  raw: IncomingMessage,
  { isBundle, isSearch, budget }: BodyUse,
  done: (body: Uint8Array | FhirError) => void,
): void {
  const bytesMax = isBundle ? limits.bundleBytesMax : limits.resourceBytesMax;
  const length = raw.headers['content-length'];
  if (raw.headers['transfer-encoding'] === undefined && (length === undefined || length === '0')) {
    done(nothing);
    return;
  }
  const refusal = refusalOf(raw, { isSearch, bytesMax });
  if (refusal !== undefined) {
    drain(raw);
    done(refusal);
    return;
  }
  collect(raw, { bytesMax, budget }, done);
}

function refusalOf(raw: IncomingMessage, use: { isSearch: boolean; bytesMax: number }): FhirError | undefined {
  const { 'content-type': type, 'content-encoding': encoding, 'content-length': length } = raw.headers;
  try {
    requestMediaType(type, { method: raw.method ?? '', isSearch: use.isSearch });
  } catch (error) {
    if (error instanceof FhirError) return error;
    throw error;
  }
  // A few hundred bytes of a compressed body can stand for gigabytes.
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new FhirError(
      'unsupported-media-type',
      'A compressed body is not accepted; send it without Content-Encoding',
    );
  }
  return Number(length ?? 0) > use.bytesMax ? tooLarge(use.bytesMax) : undefined;
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
  { bytesMax, budget }: { bytesMax: number; budget: BodyBudget },
  done: (body: Uint8Array | FhirError) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isDone = false;
  const finish = (result: Uint8Array | FhirError) => {
    if (isDone) return;
    isDone = true;
    raw.off('data', onData);
    if (result instanceof FhirError) {
      budget.release(bytes);
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
  raw.on('data', onData);
  raw.on('end', () => finish(chunks.length === 1 ? (chunks[0] ?? nothing) : Buffer.concat(chunks, bytes)));
  raw.on('error', () => finish(new FhirError('invalid', 'The body ended before it was complete')));
  raw.on('close', () => finish(new FhirError('invalid', 'The body ended before it was complete')));
}

/** Reads on without keeping anything: a connection closed on unread bytes is reset, and the answer lost with it. */
function drain(raw: IncomingMessage): void {
  let bytes = 0;
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > drainedBytesMax) raw.destroy();
  });
  raw.on('error', () => {});
}
