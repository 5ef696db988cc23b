// The thread on which large XML is converted: message in, message out, in order. See xml-conversion.ts.
import { parentPort } from 'node:worker_threads';
import { FhirError } from '../base/outcome.ts';
import { loadDefinitions } from '../model/definitions.ts';
import { jsonOfXml, xmlOfJson } from '../model/xml.ts';
import type { Converted, Job } from './xml-conversion.ts';

parentPort?.on('message', (job: Job) => {
  const answer = converted(job);
  // Its own memory travels; a part of a larger one would take the rest along.
  const buffer = 'bytes' in answer ? answer.bytes.buffer : undefined;
  const isWhole = 'bytes' in answer && answer.bytes.byteLength === answer.bytes.buffer.byteLength;
  parentPort?.postMessage(answer, isWhole && buffer instanceof ArrayBuffer ? [buffer] : []);
});

function converted({ to, bytes, pretty }: Job): Converted {
  try {
    const definitions = loadDefinitions();
    return { bytes: to === 'json' ? jsonOfXml(bytes, definitions) : xmlOfJson(bytes, definitions, { pretty }) };
  } catch (error) {
    if (error instanceof FhirError) return { refused: { kind: error.kind, issues: error.issues } };
    return { failed: error };
  }
}
