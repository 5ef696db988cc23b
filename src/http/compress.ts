// Replies compressed as the client takes them. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
import type { Transform } from 'node:stream';
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import { mediaRanges, qualityOf, remembering } from './media.ts';

/** Below this, what is saved does not pay for the way through another thread: most single resources are smaller. */
export const compressedBytesMin = 2048;

export type Coding = 'zstd' | 'br' | 'gzip';

/** By our preference: zstd takes a third of the time of gzip, br saves most. */
const codings: readonly Coding[] = ['zstd', 'br', 'gzip'];

/** The coding that an Accept-Encoding header likes best, undefined for none. */
export const codingFor = remembering((acceptEncoding: string): Coding | undefined => {
  const ranges = mediaRanges(acceptEncoding);
  const quality = (...names: string[]): number | undefined => {
    const range = ranges.find(({ type }) => names.includes(type));
    return range === undefined ? undefined : qualityOf(range);
  };
  const others = quality('*') ?? 0;
  let best: Coding | undefined;
  let most = 0;
  for (const coding of codings) {
    const one = quality(coding, ...(coding === 'gzip' ? ['x-gzip'] : [])) ?? others;
    if (one <= most) continue;
    best = coding;
    most = one;
  }
  return (quality('identity') ?? 0) > most ? undefined : best;
});

/** Levels at which a searchset goes through at 100 MB a second or more. */
export function encoderFor(coding: Coding): Transform {
  switch (coding) {
    case 'zstd':
      return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
    case 'br':
      return createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
    case 'gzip':
      return createGzip({ level: 5 });
  }
}

/** True for text: FHIR, which has no Content-Type yet when this is asked, and what operations answer in. */
export function isCompressible(contentType: string | undefined): boolean {
  return (
    contentType === undefined || /^(?:text\/|application\/(?:[a-z.-]+\+)?(?:x-nd|nd)?(?:json|xml)\b)/i.test(contentType)
  );
}
