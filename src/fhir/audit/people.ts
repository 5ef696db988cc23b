// Who is behind an agent of the record: name, address and organization, as resources have them now.
import { limits } from '../../base/limits.ts';
import type { Store } from '../../store/store.ts';
import { everything } from '../access/callers.ts';
import { key, or } from '../search/conditions.ts';
import { keys, parameterPrefix } from '../search/keys.ts';

/** Of a person or an organization, as far as its resource tells. */
export interface Known {
  name?: string;
  /** Postal, on one line. */
  address?: string;
  /** Where a practitioner works: `Organization/1`. */
  organization?: string;
}

/** Agents that are looked up at once. */
const AT_ONCE = 200;

/** Reference → what is known, for those of `agents` that are references to resources. */
export async function peopleBehind(
  agents: Iterable<string>,
  store: Pick<Store, 'readMany' | 'search'>,
): Promise<Map<string, Known>> {
  const references = [...new Set(agents)].filter((agent) => /^[A-Z]\w+\/[^/]+$/.test(agent));
  const people = new Map<string, Known>();
  for (let from = 0; from < references.length; from += AT_ONCE) {
    const some = references.slice(from, from + AT_ONCE);
    await addKnown(some, people, store);
    await addOrganizations(
      some.filter((reference) => reference.startsWith('Practitioner/')),
      people,
      store,
    );
  }
  const places = [...people.values()].flatMap(({ organization }) => organization ?? []);
  const unknown = [...new Set(places)].filter((reference) => !people.has(reference));
  for (let from = 0; from < unknown.length; from += AT_ONCE)
    await addKnown(unknown.slice(from, from + AT_ONCE), people, store);
  return people;
}

async function addKnown(
  references: readonly string[],
  people: Map<string, Known>,
  store: Pick<Store, 'readMany'>,
): Promise<void> {
  const refs = references.map((reference) => ({
    type: reference.split('/')[0] ?? '',
    id: reference.split('/')[1] ?? '',
  }));
  const rows = await store.readMany(refs, everything);
  for (const row of rows) {
    if (row?.body) people.set(`${row.type}/${row.id}`, knownOf(JSON.parse(textOf(row.body))));
  }
}

/** Of the first role of each that names one. */
async function addOrganizations(
  practitioners: readonly string[],
  people: Map<string, Known>,
  store: Pick<Store, 'search'>,
): Promise<void> {
  if (practitioners.length === 0) return;
  const prefix = parameterPrefix('PractitionerRole', 'practitioner');
  const where = or(practitioners.map((reference) => key(keys.reference(prefix, reference))));
  const asked = { type: 'PractitionerRole', where, order: [], limit: limits.pageSizeMax };
  const { rows } = await store.search({ ...asked, budgetMs: limits.queryBudgetMs }, everything);
  for (const { body } of rows) {
    const { practitioner, organization } = JSON.parse(textOf(body ?? [])) as Role;
    const person = people.get(practitioner?.reference ?? '');
    if (person === undefined || organization?.reference === undefined) continue;
    person.organization ??= organization.reference;
  }
}

const textOf = (body: Uint8Array | readonly number[]): string => Buffer.from(body).toString('utf8');

interface Role {
  practitioner?: { reference?: string };
  organization?: { reference?: string };
}

interface HumanName {
  text?: string;
  given?: readonly string[];
  family?: string;
}

interface Address {
  text?: string;
  line?: readonly string[];
  city?: string;
  state?: string;
  postalCode?: string;
  country?: string;
}

interface Content {
  name?: string | readonly HumanName[];
  address?: Address | readonly Address[];
}

function knownOf(content: Content): Known {
  const [name, address] = [nameIn(content), addressIn(content)];
  return { ...(name === '' ? {} : { name }), ...(address === '' ? {} : { address }) };
}

function nameIn({ name }: Content): string {
  if (typeof name === 'string' || name === undefined) return name ?? '';
  const [first] = name;
  return first?.text ?? [...(first?.given ?? []), first?.family ?? ''].join(' ').trim();
}

function addressIn({ address = [] }: Content): string {
  const [first] = [address].flat() as Address[];
  if (first === undefined) return '';
  const { text, line = [], city, state, postalCode, country } = first;
  const area = [state, postalCode].filter(Boolean).join(' ');
  return text ?? [...line, city, area, country].filter(Boolean).join(', ');
}
