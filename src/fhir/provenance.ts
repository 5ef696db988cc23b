// X-Provenance: a create, update or patch brings the Provenance of the version that it makes. Both are written in one
// commit or not at all. Where nothing is written (a condition was met, a patch changed nothing), nothing is kept of it.
// What stands in a Bundle has entries for its Provenances. https://hl7.org/fhir/R4/provenance.html#header
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { memberSpans, parseJson } from '../model/json.ts';
import { StoreError, type Write, type Written } from '../store/store.ts';
import { everything } from './access/callers.ts';
import type { EngineContext } from './context.ts';
import type { Caller, FhirRequest } from './interaction.ts';
import { checkedResource, type Resource, requireTargets, writeOf } from './prepare.ts';

/**
 * A context whose commits of one write bring the Provenance of the request with them; the same one where it has none.
 * Throws FhirError('invalid') naming the header for one that is no Provenance without target.
 */
export function withProvenance(request: FhirRequest, caller: Caller, context: EngineContext): EngineContext {
  const header = request.header('x-provenance');
  if (header === undefined) return context;
  const provenance = provenanceIn(header, context);
  return {
    ...context,
    async commit(commit) {
      const [write, ...others] = commit.writes;
      if (write === undefined || others.length > 0) throw new Error('a Provenance goes with one write');
      return untilVersionKnown(write, context, async (known, version) => {
        const own = provenance(known, version);
        await requireTargets([known, own], caller, context);
        return context.commit({ ...commit, writes: [known, own] });
      });
    },
  };
}

/** Makes the write of the Provenance about a version; undefined: whichever it will be. */
type ProvenanceOf = (about: Write, version: number | undefined) => Write;

function provenanceIn(header: string, context: EngineContext): ProvenanceOf {
  // What a socket hands over is bytes, one a character.
  const bytes = /[\u0100-\uffff]/.test(header) ? Buffer.from(header) : Buffer.from(header, 'latin1');
  const resource = named(() => {
    const value = parseJson(bytes) as Resource | null;
    if (value?.resourceType !== 'Provenance') throw new FhirError('invalid', 'a Provenance is expected, as JSON.');
    if (value.target !== undefined) {
      throw new FhirError('invalid', 'leave Provenance.target out: it is what this request writes.');
    }
    return checkedResource({ ...value, target: [{ reference: 'Patient/1' }] }, 'Provenance', context);
  });
  const members = [...memberSpans(bytes)]
    .filter(([name]) => name !== 'resourceType')
    .map(([, { nameStart, valueEnd }]) => `,${bytes.toString('utf8', nameStart, valueEnd)}`);
  return ({ type, id }, version) => {
    const target = [{ reference: `${type}/${id}${version === undefined ? '' : `/_history/${version}`}` }];
    const text = `{"resourceType":"Provenance","target":${JSON.stringify(target)}${members.join('')}}`;
    return writeOf(Buffer.from(text), { ...resource, target }, context.clock.newId(), context, 'absent');
  };
}

/** Says of each issue that it is about the header. */
function named<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    const issues = error.issues.map((issue) => ({ ...issue, diagnostics: `X-Provenance: ${issue.diagnostics}` }));
    throw new FhirError('invalid', issues, { cause: error });
  }
}

/**
 * Commits a write that expects the version there is, so that the one it makes is known before. Where the client expects
 * none itself and another is faster, that is looked at anew.
 */
async function untilVersionKnown(
  write: Write,
  context: EngineContext,
  commit: (known: Write, version: number | undefined) => Promise<Written[]>,
): Promise<Written[]> {
  for (let tries = 0; ; tries++) {
    const { expect, version } = await expected(write, context);
    try {
      return await commit(expect === undefined ? write : { ...write, expect }, version);
    } catch (error) {
      const isOvertaken = error instanceof StoreError && error.kind === 'version' && write.expect === undefined;
      if (!isOvertaken || tries >= limits.writeAttemptsMax) throw error;
    }
  }
}

async function expected(
  { type, id, expect }: Write,
  { store }: EngineContext,
): Promise<{ expect?: Write['expect'] | undefined; version?: number }> {
  if (typeof expect === 'number') return { expect, version: expect + 1 };
  const row = await store.read(type, id, everything);
  if (row === undefined) return { expect: 'absent', version: 1 };
  // Which version comes after a deletion cannot be held on to.
  if (row.body === null || expect === 'absent') return { expect };
  return { expect: row.version, version: row.version + 1 };
}
