// Serves until told to stop, then finishes what is under way.
import { once } from 'node:events';
import { type App, readTls, version } from '../app.ts';
import { isLoopback, rootUrl } from '../config.ts';
import { exitCodes, type Invocation, type Io, withApp } from './command.ts';
import { addDemoPeople, shutOutDemoPeople, tryLine } from './demo.ts';
import { fillWithSample } from './sample.ts';

export function serve(invocation: Invocation): Promise<number> {
  const { io, values } = invocation;
  return withApp(invocation, async (app) => {
    const wantsSample = app.config.sample ?? values.sample === true;
    if (wantsSample) await fillWithSample(app, io);
    if (io.signal.aborted) return exitCodes.ok;
    const ways = await waysIn(app, io, wantsSample);
    await app.listen();
    io.out.write(greeting(app, ways));
    const renewed = renewCertificateOnHangup(app);
    if (!io.signal.aborted) await once(io.signal, 'abort');
    renewed.end();
    app.log.info('stopping');
    return exitCodes.ok;
  });
}

function greeting({ config, store }: App, ways: string): string {
  return (
    `careloom ${version} serves FHIR R4 at ${config.baseUrl}\n  store: ${store.name}\n` +
    `${ways}  start here: ${rootUrl(config)}/\n`
  );
}

/** How people get in: lines for the terminal. Nothing of it goes to the log. */
async function waysIn(app: App, io: Io, wantsSample: boolean): Promise<string> {
  const control = await app.accessControl();
  if (control === undefined) {
    io.err.write(
      'ACCESS CONTROL IS OFF (CARELOOM_AUTH=off): whoever reaches this machine may read and change everything\n',
    );
    return '  access control: OFF\n';
  }
  const shutOut = await shutOutDemoPeople(app, control);
  if (shutOut > 0)
    io.err.write(`${shutOut} demo logins are shut out, because the server can be reached from elsewhere\n`);
  const wantsDemo = wantsSample && isLoopback(app.config.host);
  const logins = wantsDemo ? await addDemoPeople(app, control) : '';
  const line = wantsDemo ? await tryLine(app, control) : '';
  const link = await control.accounts.firstAdmin.link();
  if (link === undefined) return logins + line;
  const root = app.config.baseUrl.replace(/\/fhir$/, '');
  return `  nobody can sign in yet; the first administrator begins here, within a day:\n    ${root}${link}\n`;
}

/** The operator put a new certificate in place of the old one. */
function renewCertificateOnHangup({ config, log, server }: App): { end(): void } {
  const { tls } = config;
  if (tls === undefined) return { end: () => {} };
  const renew = async (): Promise<void> => {
    try {
      (await server()).renewTls(readTls(tls));
      log.info('certificate read anew');
    } catch (error) {
      log.error('the certificate could not be read anew; the old one stays', error);
    }
  };
  const onHangup = () => void renew();
  process.on('SIGHUP', onHangup);
  return { end: () => process.off('SIGHUP', onHangup) };
}
