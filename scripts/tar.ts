// Reads the regular files of a tar archive: POSIX.1-1988 ustar with the long-name records of GNU (`L`) and pax (`x`).

const blockBytes = 512;

/** The files of an archive by name (`package/a.json`), in the order of the archive; contents are views of `tar`. */
export function readTar(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let longName: string | undefined;
  for (let at = 0; at + blockBytes <= tar.length; ) {
    const header = tar.subarray(at, at + blockBytes);
    if (header[0] === 0) break;
    const size = Number.parseInt(text(header, 124, 12), 8) || 0;
    const content = tar.subarray(at + blockBytes, at + blockBytes + size);
    const kind = text(header, 156, 1);
    if (kind === 'L') {
      longName = text(content, 0, content.length);
    } else if (kind === 'x') {
      longName = /\d+ path=([^\n]*)\n/.exec(content.toString('utf8'))?.[1] ?? longName;
    } else {
      if (kind === '' || kind === '0') files.set(longName ?? nameOf(header), content);
      longName = undefined;
    }
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }
  return files;
}

function nameOf(header: Buffer): string {
  const isUstar = text(header, 257, 5) === 'ustar' && header[262] === 0;
  const prefix = isUstar ? text(header, 345, 155) : '';
  const name = text(header, 0, 100);
  return (prefix === '' ? name : `${prefix}/${name}`).replace(/^\.\//, '');
}

function text(bytes: Buffer, start: number, length: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString('utf8', start, end < 0 || end > start + length ? start + length : end);
}
