// Serves until told to stop, then finishes what is under way.
import { once } from 'node:events';
import { type App, version } from '../app.ts';
import { exitCodes, type Invocation, withApp } from './command.ts';
import { fillWithSample } from './sample.ts';

export function serve(invocation: Invocation): Promise<number> {
  const { io, values } = invocation;
  return withApp(invocation, async (app) => {
    const wantsSample = app.config.sample ?? values.sample === true;
    if (wantsSample) await fillWithSample(app, io);
    if (io.signal.aborted) return exitCodes.ok;
    await app.listen();
    io.out.write(greeting(app));
    if (!io.signal.aborted) await once(io.signal, 'abort');
    app.log.info('stopping');
    return exitCodes.ok;
  });
}

function greeting({ config, store }: App): string {
  const home = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${config.port}`;
  return `careloom ${version} serves FHIR R4 at ${config.baseUrl}\n  store: ${store.name}\n  start here: ${home}/\n`;
}
