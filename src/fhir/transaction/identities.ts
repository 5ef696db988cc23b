// What the resources of a transaction are called while it is on its way, and what they are called afterwards: fullUrls,
// conditional references, and the rewriting of both. https://hl7.org/fhir/R4/http.html#trules
import { FhirError } from '../../base/outcome.ts';
import { replaceStrings } from '../../model/json.ts';
import type { BundleEntry } from './entries.ts';

/**
 * JSON members whose strings are references or URIs in R4: "resource references, elements of type uri, url, oid, uuid, and
 * links in the narrative. Elements of type canonical are not replaced." A string such as Identifier.value stays, and so do
 * systems, which name a space of codes or identifiers and never a resource.
 */
const URI_MEMBERS: ReadonlySet<string> = new Set(
  (
    'reference address authority authorizationUrl contentReference defaultValueOid defaultValueUri defaultValueUrl ' +
    'defaultValueUuid definition definitionUri derivedFromUri detail endpoint eventUri fixedOid fixedUri fixedUrl fixedUuid ' +
    'instantiates instantiatesUri issuer jurisdiction link location moduleUri nameUrl onlineInformation patternOid patternUri ' +
    'patternUrl patternUuid policy protocol relativePath rendering source sourceUri target targetUri uri url valueOid valueUri ' +
    'valueUrl valueUuid'
  ).split(' '),
);

/** Temporary or foreign identity → "Type/id" here. */
export type Identities = ReadonlyMap<string, string>;

export interface FinalIdentities {
  /** fullUrl → what Reference.reference says instead. */
  references: Identities;
  /**
   * The same for other links. A definition often has its own canonical url as its fullUrl: that is its name, by which
   * uri elements (the url of an extension, the definition itself) go on calling it, and it is not in here.
   */
  links: Identities;
  /** Text of a conditional reference → what it matched. */
  conditional: Identities;
}

/** `http://elsewhere/fhir/` of a fullUrl that ends in Type/id: what its own relative references start from. */
function serverOf(fullUrl: string | undefined): string | undefined {
  return fullUrl === undefined
    ? undefined
    : /^(https?:\/\/.*\/)[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/.exec(fullUrl)?.[1];
}

/**
 * The text of an entry's resource with every identity in it replaced by what it will be called. Bytes that are not such a
 * value stay as they are.
 */
export function withFinalIdentities(
  bytes: Uint8Array,
  fullUrl: string | undefined,
  { references, links, conditional }: FinalIdentities,
): Uint8Array {
  const server = serverOf(fullUrl);
  return replaceStrings(bytes, (name, value) => {
    if (name === 'div') return withFinalLinks(value, links);
    if (!URI_MEMBERS.has(name)) return undefined;
    if (name !== 'reference') return finalIdentity(value, server, links);
    return conditional.get(value) ?? finalIdentity(value, server, references);
  });
}

function finalIdentity(value: string, server: string | undefined, identities: Identities): string | undefined {
  const whole = identities.get(value) ?? (server === undefined ? undefined : identities.get(server + value));
  if (whole !== undefined) return whole;
  const fragment = value.indexOf('#');
  if (fragment <= 0) return undefined;
  const target = identities.get(value.slice(0, fragment));
  return target === undefined ? undefined : target + value.slice(fragment);
}

/** href and src of a narrative. */
function withFinalLinks(div: string, identities: Identities): string | undefined {
  if (!div.includes('href') && !div.includes('src')) return undefined;
  return div.replace(/(\s(?:href|src)\s*=\s*)(["'])([^"']*)\2/g, (all, before: string, quote: string, link: string) => {
    const final = identities.get(link.replaceAll('&amp;', '&'));
    return final === undefined ? all : before + quote + final + quote;
  });
}

const MAYBE_CONDITIONAL = /^([A-Z][A-Za-z]+)\?(.+)$/s;

/** Texts of conditional references (`Patient?identifier=…`) in a resource, as they stand. */
export function conditionalReferences(bytes: Uint8Array): Set<string> {
  const found = new Set<string>();
  let mark = bytes.indexOf(QUESTION_MARK);
  if (mark < 0) return found;
  const mayHoldQuestionMark = (_: Uint8Array, start: number, end: number): boolean => {
    // The strings come in order, so that each stretch is looked through once.
    if (mark >= 0 && mark < start) mark = bytes.indexOf(QUESTION_MARK, start);
    return mark >= start && mark < end;
  };
  replaceStrings(
    bytes,
    (name, value) => {
      if (name === 'reference' && MAYBE_CONDITIONAL.test(value)) found.add(value);
      return undefined;
    },
    mayHoldQuestionMark,
  );
  return found;
}

const QUESTION_MARK = 0x3f;

/** Type and query of a conditional reference. */
export function conditionalParts(reference: string): { type: string; query: string } {
  const [, type = '', query = ''] = MAYBE_CONDITIONAL.exec(reference) ?? [];
  return { type, query };
}

/** Identities of the entries that have a target; 400 when the Bundle uses one fullUrl for two resources. */
export function entryIdentities(
  planned: Iterable<{ entry: BundleEntry; target?: { type: string; id: string } }>,
): Pick<FinalIdentities, 'references' | 'links'> {
  const references = new Map<string, string>();
  const links = new Map<string, string>();
  for (const { entry, target } of planned) {
    const { fullUrl } = entry;
    if (target === undefined || fullUrl === undefined || fullUrl === '') continue;
    const final = `${target.type}/${target.id}`;
    const known = references.get(fullUrl);
    if (known !== undefined && known !== final) {
      throw new FhirError('invalid', 'Two entries have this fullUrl; each resource of a transaction needs its own.', {
        expression: `Bundle.entry[${entry.at}].fullUrl`,
      });
    }
    references.set(fullUrl, final);
    if (entry.head?.url !== fullUrl) links.set(fullUrl, final);
  }
  return { references, links };
}
