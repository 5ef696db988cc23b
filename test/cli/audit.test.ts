// careloom audit: verify, export, report.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { reportLines } from '../../src/cli/audit-report.ts';
import { checkpointKeyOf, publicPem } from '../../src/fhir/audit/checkpoint.ts';
import { createCheckpoints } from '../../src/fhir/audit/checkpoints.ts';
import type { Caller, Principal } from '../../src/fhir/caller.ts';
import { installationSecret } from '../../src/secret.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { principal, recordingOn } from '../fhir/audit/support.ts';
import { tampering } from '../fhir/audit/tamper.ts';
import { callerWith } from '../support/callers.ts';
import { bench } from './support.ts';

type T = Parameters<typeof bench>[0];

const by = (more: Partial<Principal>): Caller => ({
  ...callerWith({ of: () => ({ kind: 'all' }) }),
  principal: principal(more),
});

/** A store whose record has a treatment, research, the patient's own look and an emergency. */
async function recorded(t: T) {
  const made = bench(t);
  const path = join(made.folder, 'careloom.db');
  const store = await openSqliteStore({ path, clock: systemClock });
  const { ask } = await recordingOn(store);
  await ask('Patient/a', { method: 'PUT', body: { resourceType: 'Patient', id: 'a', name: [{ family: 'Quennell' }] } });
  const doctor = {
    resourceType: 'Practitioner',
    id: '1',
    name: [{ given: ['Ada'], family: 'Byron' }],
    address: [{ line: ['1 Lake Street'], city: 'Ann Arbor', state: 'MI', postalCode: '48103' }],
  };
  await ask('Practitioner/1', { method: 'PUT', body: doctor });
  await ask('Patient/a', { caller: by({}) });
  for (let times = 0; times < 3; times++) {
    await ask('Patient/a', { caller: by({ client: 'study', purpose: 'HRESCH' }) });
  }
  await ask('Patient/a', {
    caller: by({ user: { id: 'p', fhirUser: 'Patient/a', roles: [], clearance: [] }, purpose: 'PATRQT' }),
  });
  await ask('Patient?name=quennell', { caller: by({ client: 'exchange' }) });
  await ask('Patient/a', { caller: by({ emergency: 'a' }) });
  const clock = systemClock;
  const secret = await installationSecret({ secret: undefined, dataDir: made.folder }, store.records);
  const checkpoints = createCheckpoints({
    store,
    clock,
    key: checkpointKeyOf(secret),
    path: join(made.folder, 'checkpoints'),
    record: async () => {},
    onFault: (error) => {
      throw error;
    },
  });
  await checkpoints.make();
  await store.close();
  return { ...made, path };
}

t.test('verify: 0 when the record is sound, 1 with a sentence for each problem', async (t) => {
  const { run, folder, path } = await recorded(t);
  const checkpoints = join(folder, 'checkpoints');
  t.match(await run('audit', 'verify', '--checkpoints', checkpoints), {
    code: 0,
    out: /\d+ lines checked and .*, 0 problems/,
  });
  t.match(await run('audit', 'verify'), { code: 0, out: /without a file of checkpoints, 0 problems/ });
  await tampering(`sqlite:${path}`).change(3);
  t.match(await run('audit', 'verify', '--checkpoints', checkpoints), {
    code: 1,
    out: /row 4 changed.*\n.*1 problems/,
  });
  const key = join(folder, 'other.pem');
  writeFileSync(key, publicPem(checkpointKeyOf('another')));
  const wrong = await run('audit', 'verify', '--checkpoints', checkpoints, '--key', key);
  t.match(wrong, { code: 1, out: /not signed by this key/ });
  writeFileSync(key, 'nonsense');
  t.match(await run('audit', 'verify', '--key', key), { code: 2, err: /holds no key/ });
});

t.test('key: what another place needs to verify', async (t) => {
  const { run, folder } = await recorded(t);
  const key = join(folder, 'public.pem');
  const shown = await run('audit', 'key');
  t.match(shown, { code: 0, out: /^-----BEGIN PUBLIC KEY-----/ });
  writeFileSync(key, shown.out);
  const found = await run('audit', 'verify', '--checkpoints', join(folder, 'checkpoints'), '--key', key);
  t.match(found, { code: 0, out: / 0 problems/ });
});

t.test('verify: a truncated end is found', async (t) => {
  const { run, folder, path } = await recorded(t);
  await tampering(`sqlite:${path}`).cutOff(2);
  const found = await run('audit', 'verify', '--checkpoints', join(folder, 'checkpoints'));
  t.match(found, { code: 1, out: /cut off/ });
});

t.test('export: AuditEvents or rows, by time', async (t) => {
  const { run, folder } = await recorded(t);
  const events = (await run('audit', 'export', '--out', '-')).out.trimEnd().split('\n');
  t.ok(events.length >= 9);
  for (const event of events) t.equal(JSON.parse(event).resourceType, 'AuditEvent');
  const out = join(folder, 'rows.ndjson');
  t.match(await run('audit', 'export', '--out', out, '--form', 'rows'), { code: 0, out: /lines of the record/ });
  const rows = readFileSync(out, 'utf8').trimEnd().split('\n');
  t.match(JSON.parse(rows[0] ?? ''), { seq: 1, patients: ['a'], hash: /^[0-9a-f]{64}$/ });
  t.match(JSON.parse(rows.at(-1) ?? ''), { body: /"export"/ }, 'the export before is in the record');
  t.equal((await run('audit', 'export', '--out', '-', '--to', '2020')).out, '');
  t.match(await run('audit', 'export'), { code: 2, err: /--out/ });
  t.match(await run('audit', 'export', '--out', '-', '--form', 'x'), { code: 2, err: /events, rows or disclosures/ });
  t.match(await run('audit', 'export', '--out', '-', '--from', 'soon'), { code: 2, err: /--from takes a date/ });
});

t.test('report: who saw this patient', async (t) => {
  const { run } = await recorded(t);
  const { code, out } = await run('audit', 'report', '--patient', 'a', '--format', 'csv');
  t.equal(code, 0);
  const [head, ...lines] = out.trimEnd().split('\n');
  t.equal(head, 'when,patient,who,client,from,purpose,what,outcome');
  t.equal(lines.length, 8);
  t.match(lines[1], /Z,a,Ada Byron \(Practitioner\/1\),app,192.0.2.7,TREAT,read Patient\/a,success$/);
  t.match(lines.at(-1), /TREAT emergency/);
  t.notMatch(out, /quennell/, 'criteria stay in the record');
  t.match((await run('audit', 'report', '--patient', 'a')).out, /report/, 'looking into it is in it as well');
  t.equal((await run('audit', 'report', '--patient', 'b', '--format', 'csv')).out.trimEnd(), head);
  t.match(await run('audit', 'report'), { code: 2, err: /--patient/ });
  t.match(await run('audit', 'report', '--patient', '../x'), { code: 2 });
  t.match(await run('audit', 'report', '--patient', 'a', '--format', 'pdf'), { code: 2, err: /text or csv/ });
  t.match(await run('audit'), { code: 2, err: /verify, export, report/ });
});

t.test('report: accounting of disclosures, repeats collapsed to first, count and last', async (t) => {
  const { run } = await recorded(t);
  const accounted = async (...more: string[]): Promise<string[]> => {
    const { out } = await run('audit', 'report', '--patient', 'a', '--disclosures', '--format', 'csv', ...more);
    return out.trimEnd().split('\n').slice(1);
  };
  const [research, ...others] = await accounted();
  const address = '"1 Lake Street, Ann Arbor, MI 48103"';
  t.match(
    research,
    `Z,a,Ada Byron (Practitioner/1),${address},study,3 Patient,healthcare research (HRESCH),3,2`,
    'first, recipient, address, what, purpose, how often, last',
  );
  t.same(others, [], 'neither treatment, nor the patient, nor an emergency');
  const outside = await accounted('--outside', 'exchange');
  t.equal(outside.length, 2);
  t.match(outside[1], /exchange,1 Patient,treatment \(TREAT\),1,/);
});

t.test('report: sorted by each of its columns, of one patient or of all in a period', async (t) => {
  const { run } = await recorded(t);
  const column = async (name: string, ...more: string[]): Promise<string[]> => {
    const { out, code, err } = await run('audit', 'report', '--format', 'csv', ...more);
    t.equal(code, 0, err);
    const [head = '', ...lines] = out.trimEnd().split('\n');
    const place = head.split(',').indexOf(name);
    return lines.map((line) => line.split(',')[place] ?? '');
  };
  for (const name of ['when', 'patient', 'who', 'client', 'from', 'purpose', 'what', 'outcome']) {
    const rising = await column(name, '--patient', 'a', '--sort', name);
    t.same(rising, [...rising].sort(new Intl.Collator('en', { numeric: true }).compare), name);
  }
  for (const name of ['when', 'who']) {
    const falling = await column(name, '--patient', 'a', `--sort=-${name}`);
    t.same(
      falling,
      [...falling].sort((a, b) => new Intl.Collator('en', { numeric: true }).compare(b, a)),
      `-${name}`,
    );
  }
  const all = await column('patient', '--from', '2020', '--sort', 'patient');
  t.ok(all.length > 9, 'with what is about nobody');
  t.equal(all[0], '');
  t.equal(all.at(-1), 'a');
  t.match(await run('audit', 'report', '--patient', 'a', '--sort', 'x'), {
    code: 2,
    err: /--sort takes when, patient, who/,
  });
  t.match(await run('audit', 'report', '--patient', 'a', '--disclosures', '--sort', 'who'), {
    code: 2,
    err: /--sort takes first, patient, recipient, address/,
  });
  const often = ['--patient', 'a', '--disclosures', '--sort=-times', '--outside', 'exchange'];
  t.equal((await column('first', ...often)).length, 2);
  t.match(await run('audit', 'report'), { code: 2, err: /--patient ID, or --from/ });
});

t.test('report: what does not fit into memory is refused, with what to do', async (t) => {
  const { path } = await recorded(t);
  const store = await openSqliteStore({ path, clock: systemClock });
  t.teardown(() => store.close());
  const asked = {
    patient: 'a',
    sort: 'who',
    isDisclosures: false,
    format: 'csv',
    outsideClients: [],
    clientName: async () => undefined,
  } as const;
  const lines = async (rowsMax: number) => {
    const found: string[] = [];
    for await (const line of reportLines(store, { ...asked, rowsMax })) found.push(line);
    return found.length - 1;
  };
  const count = await lines(1_000);
  t.equal(await lines(count), count);
  await t.rejects(lines(count - 1), /shorter period/);
});

t.test('export: disclosures in the form of BALP', async (t) => {
  const { run } = await recorded(t);
  const exported = async (...more: string[]) => {
    const { out } = await run('audit', 'export', '--out', '-', '--form', 'disclosures', ...more);
    return out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  };
  const events = await exported();
  t.equal(events.length, 3);
  for (const event of events)
    t.match(event, { type: { code: '110106' }, meta: { profile: [/PrivacyDisclosure\.Source$/] } });
  t.equal((await exported('--outside', 'exchange', '--patient', 'a')).length, 4);
  t.same(await exported('--patient', 'b'), []);
});

t.test('a cell that a spreadsheet would take for a formula is none', async (t) => {
  const { run, path } = await recorded(t);
  const store = await openSqliteStore({ path, clock: systemClock });
  await store.audit.append([{ at: 1, patients: ['z'], agent: '=cmd|"x"', body: '{"k":"read","s":200,"c":"a,b"}' }]);
  await store.close();
  const { out } = await run('audit', 'report', '--patient', 'z', '--format', 'csv');
  t.match(out, /"'=cmd\|""x""","a,b"/);
});

t.test('a line that was cut in the file of checkpoints is named', async (t) => {
  const { run, folder } = await recorded(t);
  const path = join(folder, 'checkpoints');
  appendFileSync(path, readFileSync(path, 'utf8').slice(0, 40));
  t.match(await run('audit', 'verify', '--checkpoints', path), { code: 1, out: /line 2 was not signed/ });
});

t.test('seal, purge and hold: what is old is packed, and removed after its years unless it is held', async (t) => {
  const made = bench(t);
  const { run } = made;
  const store = await openSqliteStore({ path: join(made.folder, 'careloom.db'), clock: systemClock });
  const at = (year: number): number => Date.UTC(year, 0, 15);
  for (const year of [2010, 2011, new Date().getUTCFullYear() - 2])
    await store.audit.append([{ at: at(year), patients: ['a'], agent: 'system', body: '{"k":"read","s":200}' }]);
  await store.close();
  const checkpoints = join(made.folder, 'checkpoints');
  writeFileSync(checkpoints, '');
  t.match(await run('audit', 'seal'), { code: 0, out: /^3 rows sealed in 3 segments of \d+ bytes$/m });
  t.match(await run('audit', 'seal'), { code: 0, out: /^0 rows sealed/ });
  t.match(await run('audit', 'hold'), { code: 0, out: 'no legal hold\n' });
  t.match(await run('audit', 'hold', 'on'), { code: 2, err: /--reason/ });
  t.match(await run('audit', 'hold', 'sideways', '--reason', 'x'), { code: 2, err: /on or off/ });
  t.match(await run('audit', 'hold', 'on', '--reason', 'Smith v. clinic'), { code: 0, out: 'legal hold on\n' });
  t.match(await run('audit', 'hold'), { code: 0, out: /^legal hold since .*: Smith v. clinic$/m });
  t.match(await run('audit', 'purge', '--dry-run'), {
    code: 0,
    out: '2 rows in 2 segments would be purged, but for a legal hold\n',
  });
  t.match(await run('audit', 'purge'), { code: 2, err: /legal hold keeps the audit record: Smith v. clinic/ });
  t.match(await run('audit', 'hold', 'off', '--reason', 'settled'), { code: 0 });
  t.match(await run('audit', 'purge'), { code: 0, out: '2 rows in 2 segments purged\n' });
  t.match(await run('audit', 'verify', '--checkpoints', checkpoints), { code: 0, out: / 0 problems/ });
  const { out } = await run('audit', 'export', '--out', '-', '--form', 'rows');
  t.notMatch(out, /"seq":2,/);
  t.match(out, /"seq":3,/);
  for (const said of ['rows in 3 segments', 'legal hold on: Smith v. clinic', 'legal hold off: settled', 'rows 2 to 2'])
    t.match(out, said);
});
