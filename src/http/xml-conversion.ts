// Between the XML that some clients speak and the JSON that the engine speaks. Nothing of it is loaded before the first
// XML comes, and what is large goes to a thread of its own.
import { Worker } from 'node:worker_threads';
import { type ErrorKind, FhirError, type Issue } from '../base/outcome.ts';
import type { Definitions } from '../model/definitions.ts';

/** Half a megabyte takes 15 ms to read, 50 ms when it is made to: more than that is not taken from all other requests at once. */
const onThreadBytesMin = 512 * 1024;

/** The thread ends after so long without work, and gives back its 60 MB. */
const idleMs = 60_000;

export interface Job {
  to: 'json' | 'xml';
  bytes: Uint8Array;
  pretty: boolean;
}

export type Converted =
  | { bytes: Uint8Array }
  | { refused: { kind: ErrorKind; issues: readonly Issue[] } }
  | { failed: unknown };

export class XmlConversion {
  readonly #definitions: () => Definitions;
  readonly #thread = new ConversionThread();

  constructor(definitions: () => Definitions) {
    this.#definitions = definitions;
  }

  /** See jsonOfXml. */
  async jsonOf(xml: Uint8Array): Promise<Uint8Array> {
    if (xml.length > onThreadBytesMin) return this.#thread.convert({ to: 'json', bytes: xml, pretty: false });
    const { jsonOfXml } = await import('../model/xml.ts');
    return jsonOfXml(xml, this.#definitions());
  }

  /** See xmlOfJson. */
  async xmlOf(json: Uint8Array, pretty: boolean): Promise<Uint8Array> {
    if (json.length > onThreadBytesMin) return this.#thread.convert({ to: 'xml', bytes: json, pretty });
    const { xmlOfJson } = await import('../model/xml.ts');
    return xmlOfJson(json, this.#definitions(), { pretty });
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}

interface Waiting {
  resolve(bytes: Uint8Array): void;
  reject(error: unknown): void;
}

class ConversionThread {
  #worker: Worker | undefined;
  #waiting: Waiting[] = [];
  #idle: NodeJS.Timeout | undefined;

  convert(job: Job): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      clearTimeout(this.#idle);
      this.#worker ??= this.#start();
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(job);
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#end();
    await worker.terminate();
  }

  #start(): Worker {
    // The same tree runs as .ts from a checkout and as .js from the package.
    const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./xml-worker${ending}`, import.meta.url));
    worker.on('message', (answer: Converted) => this.#answered(worker, answer));
    worker.on('error', (error) => this.#died(worker, error));
    worker.on('exit', () => this.#died(worker));
    return worker;
  }

  #answered(worker: Worker, answer: Converted): void {
    const waiting = this.#waiting.shift();
    if ('bytes' in answer) waiting?.resolve(answer.bytes);
    else if ('refused' in answer) waiting?.reject(new FhirError(answer.refused.kind, answer.refused.issues));
    else waiting?.reject(answer.failed);
    if (this.#waiting.length > 0) return;
    worker.unref();
    this.#idle = setTimeout(() => void this.close(), idleMs).unref();
  }

  #died(worker: Worker, cause?: unknown): void {
    if (this.#worker === worker) this.#end(cause);
  }

  /** From now on another thread is started for what comes; what this one had to do is refused. */
  #end(cause?: unknown): void {
    this.#worker = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) {
      reject(new FhirError('unavailable', 'The conversion of XML stopped; try again in a few seconds', { cause }));
    }
  }
}
