// The stamp: meta.versionId and meta.lastUpdated, written into a body when it is committed.

/** `"versionId":"3","lastUpdated":"2026-01-31T10:00:00.000Z"` at byte `at` of the body. */
export function stamped(body: Uint8Array, at: number, version: number, lastUpdated: number): Uint8Array {
  const stamp = `"versionId":"${version}","lastUpdated":"${new Date(lastUpdated).toISOString()}"`;
  const out = Buffer.allocUnsafe(body.length + stamp.length);
  out.set(at === body.length ? body : body.subarray(0, at), 0);
  out.write(stamp, at, 'latin1');
  out.set(body.subarray(at), at + stamp.length);
  return out;
}
