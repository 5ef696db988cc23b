// Serves the sample SMART app at http://127.0.0.1:9090/, for trying it out and for the browser test: a public app of static
// files, as a third party would have it. `npm start` registers it.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const home = new URL('./sample-app/', import.meta.url);
const client = new URL('../node_modules/fhirclient/build/fhir-client.min.js', import.meta.url);

/** Path → file and type; there are no others. */
const files: Readonly<Record<string, [file: URL, type: string]>> = {
  '/': [new URL('index.html', home), 'text/html'],
  '/launch.html': [new URL('launch.html', home), 'text/html'],
  '/style.css': [new URL('style.css', home), 'text/css'],
  '/app.js': [new URL('app.js', home), 'text/javascript'],
  '/launch.js': [new URL('launch.js', home), 'text/javascript'],
  '/fhir-client.min.js': [client, 'text/javascript'],
};

export interface SampleApp {
  /** Without a slash at the end. */
  url: string;
  close(): void;
}

/** `port` 0: any that is free. */
export async function serveSampleApp(port: number): Promise<SampleApp> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const found = Object.hasOwn(files, path) ? files[path] : undefined;
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    const [file, type] = found;
    readFile(file).then(
      (bytes) => response.writeHead(200, { 'Content-Type': `${type}; charset=utf-8` }).end(bytes),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  const at = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://127.0.0.1:${at}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { url } = await serveSampleApp(9090);
  process.stdout.write(`sample app: ${url}/\n`);
}
