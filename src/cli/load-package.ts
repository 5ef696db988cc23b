// A FHIR package → units: the resources directly in `package/`, without their narratives; examples stay where they are.
// https://hl7.org/fhir/packages.html
import { createHash } from 'node:crypto';
import { FhirError } from '../base/outcome.ts';
import { memberSpans, parseJson } from '../model/json.ts';
import { putEntry } from './bundle.ts';
import { contentOf, LoadError, type ReadOptions, type SourceFile } from './load-content.ts';
import { isId, isObject, isTypeName, type Unit } from './load-unit.ts';
import { TarError, type TarFile, tarFiles } from './tar.ts';

export const packageFile = /\.(tgz|tar\.gz)$/i;

/**
 * The units of a package, in the order of the archive; none for an archive found in a folder that is no FHIR package.
 * The archive is read twice: nothing goes in of one that turns out to be damaged. Throws LoadError.
 */
export async function* unitsOfPackage(file: SourceFile, options: ReadOptions): AsyncGenerator<Unit> {
  const manifest = await manifestOf(file, options);
  if (manifest === undefined) return;
  let position = 0;
  for await (const each of filesOf(file, options)) {
    const unit = each.name === manifestName ? undefined : unitOf(each, position, manifest);
    if (unit === undefined) continue;
    yield unit;
    position++;
  }
}

const manifestName = 'package/package.json';

/** `.index.json` and its like describe the package. */
const isResourceFile = (name: string): boolean => /^package\/[^/.][^/]*\.json$/i.test(name);

async function* filesOf({ path }: SourceFile, options: ReadOptions): AsyncGenerator<TarFile> {
  try {
    yield* tarFiles(contentOf(path, options), isResourceFile);
  } catch (error) {
    if (error instanceof TarError) throw new LoadError(`${path}: ${error.message}`, error);
    throw error;
  }
}

/** What of package.json matters here. */
interface Manifest {
  name: string;
}

async function manifestOf(file: SourceFile, { signal }: ReadOptions): Promise<Manifest | undefined> {
  let found: unknown;
  for await (const { name, content } of filesOf(file, { signal, onRead: () => {} })) {
    if (name === manifestName) found = parsed(content);
  }
  if (isObject(found)) return checkedManifest(found, file);
  if (file.isNamed) throw new LoadError(`${file.path}: is no FHIR package: it has no package/package.json`);
  return undefined;
}

/** Throws LoadError for a package of another release of FHIR: what R4 calls by the same name may mean something else. */
function checkedManifest({ name, fhirVersions }: Record<string, unknown>, { path }: SourceFile): Manifest {
  const versions = Array.isArray(fhirVersions) ? fhirVersions.map(String) : [];
  if (versions.length > 0 && !versions.some((version) => version.startsWith('4.'))) {
    throw new LoadError(`${path}: is a package for another release of FHIR; this server takes packages for R4 (4.0.1)`);
  }
  return { name: typeof name === 'string' ? name : '' };
}

function parsed(content: Buffer): unknown {
  try {
    return parseJson(content);
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

/** undefined for a file that is no resource. */
function unitOf({ name, content }: TarFile, position: number, manifest: Manifest): Unit | undefined {
  const value = parsed(content);
  if (value === undefined) return { kind: 'unreadable', position, name, problem: 'is not well-formed JSON' };
  if (!isObject(value) || value.resourceType === undefined) return undefined;
  const { resourceType: type, id: own } = value;
  if (!isTypeName(type)) return { kind: 'unreadable', position, name, problem: 'no resourceType' };
  const id = isId(own) ? own : derivedId(value, name, manifest);
  const resource = withoutNarrative(content, { type, id });
  const entry = putEntry({ type, id, resource });
  return { kind: 'entry', position, type, identity: `${type}/${id}`, mode: 'put', entry, name, unlessThere: resource };
}

/**
 * An id for a resource that has none, or one that FHIR does not allow. The same for each version of a package, so that a
 * newer one takes the place of the older: from the canonical url, or else from package and file.
 */
function derivedId({ resourceType, url }: Record<string, unknown>, file: string, manifest: Manifest): string {
  const source = typeof url === 'string' && url !== '' ? url : `${manifest.name}/${file.replace(/\.json$/i, '')}`;
  const digest = createHash('sha256').update(`${resourceType} ${source}`).digest('hex').slice(0, 12);
  const words = source.slice(source.lastIndexOf('/') + 1).replace(/[^A-Za-z0-9.-]+/g, '-');
  return `${words.slice(0, 50)}-${digest}`;
}

const membersWritten: ReadonlySet<string> = new Set(['resourceType', 'id', '_id', 'text']);

/** The text of the resource under its id, every other member as it was. */
function withoutNarrative(content: Buffer, { type, id }: { type: string; id: string }): Buffer {
  const pieces: Uint8Array[] = [Buffer.from(`{"resourceType":"${type}","id":"${id}"`)];
  for (const [name, { nameStart, valueEnd }] of memberSpans(content)) {
    if (!membersWritten.has(name)) pieces.push(comma, content.subarray(nameStart, valueEnd));
  }
  pieces.push(end);
  return Buffer.concat(pieces);
}

const comma = Buffer.from(',');
const end = Buffer.from('}');
