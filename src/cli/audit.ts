// Commands on the audit record: verify it, write it out, report from it, seal and purge it. Each leaves a line in the record itself.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { App } from '../app.ts';
import { FhirError } from '../base/outcome.ts';
import { isDisclosureEvent, renderRow } from '../fhir/audit/audit-event.ts';
import { checkpointKeyOf, publicPem } from '../fhir/audit/checkpoint.ts';
import { createRecorder } from '../fhir/audit/recorder.ts';
import { verifyRecord } from '../fhir/audit/verify-record.ts';
import { dateRange } from '../model/dates.ts';
import { operator } from '../operator.ts';
import { installationSecret } from '../secret.ts';
import type { AuditRow } from '../store/store.ts';
import { columnsOf, reportLines } from './audit-report.ts';
import { hold, purge, seal } from './audit-retention.ts';
import { exitCodes, type Invocation, inWords, textsOf, UsageError, withApp } from './command.ts';
import { createProgress } from './progress.ts';

const works = { verify, export: exportLines, report, key, seal, purge, hold };

export function audit(invocation: Invocation): Promise<number> {
  const [name = '', ...more] = invocation.operands;
  if (!Object.hasOwn(works, name) || more.length > (name === 'hold' ? 1 : 0)) {
    throw new UsageError(`audit needs one of ${Object.keys(works).join(', ')}`);
  }
  const work = works[name as keyof typeof works];
  return withApp(invocation, (app) => work(app, invocation));
}

/** What is done with the record is part of it. */
async function note(
  { store, clock }: App,
  kind: string,
  detail: string,
  patients: readonly string[] = [],
): Promise<void> {
  const recorder = createRecorder({ audit: store.audit, clock });
  await recorder.record({
    kind,
    outcome: 'success',
    detail: `${detail}; by ${operator()} at the command line`,
    patients,
  });
}

async function verify(app: App, { values, io }: Invocation): Promise<number> {
  const { store, config } = app;
  const path = textOf(values.checkpoints) ?? config.auditCheckpoints;
  if (textOf(values.checkpoints) !== undefined && !existsSync(path ?? ''))
    throw new UsageError(`--checkpoints ${path} does not exist`);
  const total = (await store.audit.heads()).reduce((sum, { seq }) => sum + seq, 0);
  const progress = createProgress(io, { label: 'audit verify', total });
  const checkpoints = path === undefined || !existsSync(path) ? {} : { checkpoints: linesIn(path) };
  const key = await keyFor(app, textOf(values.key));
  let problems = 0;
  let checked = 0;
  const onProgress = (done: number): void => {
    checked = done;
    progress.update(done);
  };
  for await (const problem of verifyRecord({ store, key, ...checkpoints, onProgress })) {
    problems += 1;
    progress.end();
    io.out.write(`${problem}\n`);
  }
  progress.end();
  const against = 'checkpoints' in checkpoints ? ` and ${path}` : ', without a file of checkpoints';
  const said = `${checked} lines checked${against}, ${problems} problems`;
  io.out.write(`${said}\n`);
  await note(app, 'verify', said);
  return problems === 0 ? exitCodes.ok : exitCodes.failed;
}

/** The key in a PEM file, private or public; without one, the installation's own. */
async function keyFor({ config, store }: App, path: string | undefined): Promise<KeyObject> {
  if (path === undefined) return checkpointKeyOf(await installationSecret(config, store.records));
  const pem = readFileSync(path, 'utf8');
  try {
    return createPublicKey(pem);
  } catch {
    throw new UsageError(`--key ${path} holds no key in PEM`);
  }
}

/** What another place needs to verify checkpoints. */
async function key(app: App, { io }: Invocation): Promise<number> {
  io.out.write(publicPem(await keyFor(app, undefined)));
  return exitCodes.ok;
}

async function* linesIn(path: string): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
}

async function exportLines(app: App, { values, io }: Invocation): Promise<number> {
  const { config } = app;
  const out = textOf(values.out);
  if (out === undefined || out === '')
    throw new UsageError('audit export needs --out FILE, or --out - for standard output');
  const form = textOf(values.form) ?? 'events';
  if (form !== 'events' && form !== 'rows' && form !== 'disclosures')
    throw new UsageError('--form takes events, rows or disclosures');
  const patient = patientOf(values);
  const asked = { ...periodOf(values, config.timeZone), ...(patient === undefined ? {} : { patient }) };
  const rendering = { ...config, outsideClients: outsideOf(values, app) };
  const progress = createProgress(io, { label: 'audit export', total: undefined });
  let count = 0;
  const lines = async function* (): AsyncGenerator<string> {
    for await (const row of rowsOf(app, asked, io.signal)) {
      progress.update(++count);
      if (form === 'rows') yield `${JSON.stringify(row)}\n`;
      else {
        for (const rendered of renderRow(row, rendering)) {
          const isAsked = patient === undefined || rendered.patients.includes(patient);
          if (isAsked && (form === 'events' || isDisclosureEvent(rendered)))
            yield `${JSON.stringify(rendered.event)}\n`;
        }
      }
    }
  };
  if (out === '-') for await (const line of lines()) io.out.write(line);
  else await pipeline(Readable.from(lines()), createWriteStream(out, { mode: 0o600 }));
  progress.end();
  const what = form === 'disclosures' ? 'disclosures in ' : '';
  await note(app, 'export', `${what}${count} lines of the audit record`, patient === undefined ? [] : [patient]);
  if (out !== '-') io.out.write(`${count} lines of the record written to ${out}\n`);
  return exitCodes.ok;
}

async function* rowsOf(
  { store }: App,
  asked: { patient?: string; from?: number; to?: number },
  signal: AbortSignal,
): AsyncGenerator<AuditRow> {
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    const page = await store.audit.rows({
      ...asked,
      descending: false,
      limit: 1_000,
      ...(after === undefined ? {} : { after }),
    });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

async function report(app: App, { values, io }: Invocation): Promise<number> {
  const patient = patientOf(values);
  const format = textOf(values.format) ?? 'text';
  if (format !== 'text' && format !== 'csv') throw new UsageError('--format takes text or csv');
  const isDisclosures = values.disclosures === true;
  const sort = sortOf(values, isDisclosures);
  const period = periodOf(values, app.config.timeZone);
  if (patient === undefined && period.from === undefined)
    throw new UsageError('audit report needs --patient ID, or --from DATE for a report on all patients');
  const { clientsOf } = await import('./client.ts');
  const clients = await clientsOf(app);
  const asked = {
    ...period,
    ...(patient === undefined ? {} : { patient }),
    ...(sort === undefined ? {} : { sort }),
    outsideClients: outsideOf(values, app),
    isDisclosures,
    format,
    clientName: async (id: string) => (await clients.get(id))?.name,
  } as const;
  await inWords(async () => {
    for await (const line of reportLines(app.store, asked)) io.out.write(`${line}\n`);
    return '';
  });
  const what = isDisclosures ? 'accounting of disclosures' : 'who saw';
  const whom = patient === undefined ? 'all patients' : 'this patient';
  await note(app, 'report', `${what}: ${whom}`, patient === undefined ? [] : [patient]);
  return exitCodes.ok;
}

function patientOf(values: Invocation['values']): string | undefined {
  const patient = textOf(values.patient);
  if (patient === undefined || /^[A-Za-z0-9\-.]{1,64}$/.test(patient)) return patient;
  throw new UsageError('--patient takes the id of a Patient');
}

/** The column to sort by, perhaps with `-` in front. */
function sortOf(values: Invocation['values'], isDisclosures: boolean): string | undefined {
  const sort = textOf(values.sort);
  const columns = columnsOf(isDisclosures);
  if (sort === undefined || columns.includes(sort.replace(/^-/, ''))) return sort;
  throw new UsageError(`--sort takes ${columns.join(', ')}; the highest first as --sort=-${columns[0]}`);
}

/** Clients outside of the practice: those of the settings, and those named here. */
const outsideOf = (values: Invocation['values'], { config }: App): readonly string[] => [
  ...config.outsideClients,
  ...textsOf(values.outside),
];

function textOf(value: Invocation['values'][string]): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** From the beginning of `--from` to the end of `--to`, ms. */
function periodOf(values: Invocation['values'], timeZone: string): { from?: number; to?: number } {
  const from = textOf(values.from);
  const to = textOf(values.to);
  return {
    ...(from === undefined ? {} : { from: rangeOf('from', from, timeZone).from }),
    ...(to === undefined ? {} : { to: rangeOf('to', to, timeZone).to }),
  };
}

function rangeOf(name: string, text: string, timeZone: string): { from: number; to: number } {
  try {
    return dateRange(text, timeZone);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new UsageError(`--${name} takes a date such as 2026-01-31, or an instant such as 2026-01-31T12:00:00Z`);
  }
}
