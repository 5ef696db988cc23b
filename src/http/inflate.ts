// Bodies that come compressed. Their bound counts what comes out. https://www.rfc-editor.org/rfc/rfc9110#section-8.4
import type { Transform } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { FhirError } from '../base/outcome.ts';

/** 8 MB, which RFC 8878 asks of every reader; a frame may ask for gigabytes. */
const zstdWindowLogMax = 23;

const decoders: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
  ['zstd', () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLogMax } })],
]);

/** A decoder for a Content-Encoding; undefined for none. Throws FhirError('unsupported-media-type') for others. */
export function decoderFor(contentEncoding: string | undefined): Transform | undefined {
  const coding = contentEncoding?.trim().toLowerCase() ?? '';
  if (coding === '' || coding === 'identity') return undefined;
  const make = decoders.get(coding);
  if (make === undefined) {
    throw new FhirError(
      'unsupported-media-type',
      'This Content-Encoding is not accepted; accepted: one of gzip, deflate, br, zstd, or none',
    );
  }
  return make();
}
