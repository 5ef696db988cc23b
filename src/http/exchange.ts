// What stands between a request as it was sent and the engine, which takes and gives JSON: XML in both directions, the
// native form of a Binary, `_pretty`. Requests that need none of it never come here.
// https://hl7.org/fhir/R4/http.html#mime-type
import { limits } from '../base/limits.ts';
import type { Answer } from '../fhir/interaction.ts';
import { binaryAround, contentAnswer } from './binary.ts';
import type { Failure } from './errors.ts';
import { bodyUse, fhirJson, isXml, parseMediaRange, xmlTypes } from './media.ts';
import { prettyJson } from './pretty.ts';
import type { HttpRequest } from './request.ts';
import type { XmlConversion } from './xml-conversion.ts';

/** True when a request is to be performed by `exchange`. */
export function needsExchange(request: HttpRequest): boolean {
  if (request.isPretty || request.contentWish !== undefined || isXml(request.replyType)) return true;
  const type = request.header('content-type');
  if (type === undefined) return false;
  if (request.path.startsWith('Binary') && isBinaryWrite(request)) return true;
  return type.toLowerCase().includes('xml') && xmlTypes.includes(parseMediaRange(type).type);
}

/** Performs a request by `perform` with its body as JSON, and gives the answer the form that was asked for. */
export async function exchange(
  request: HttpRequest,
  perform: () => Promise<Answer>,
  xml: XmlConversion,
): Promise<Answer> {
  await takeBody(request, xml);
  const answer = await perform();
  if (answer.body === undefined || answer.headers['Content-Type'] !== undefined) return answer;
  const body = joined(answer.body);
  if (request.contentWish !== undefined && answer.status === 200) {
    const content = contentAnswer({ ...answer, body }, request.contentWish, request);
    if (content !== undefined) return content;
  }
  return { ...answer, body: await inForm(body, request, xml) };
}

/** The OperationOutcome of a failure in the form that was asked for. */
export async function failureInForm(failure: Failure, request: HttpRequest, xml: XmlConversion): Promise<Failure> {
  return { ...failure, body: await inForm(failure.body, request, xml) };
}

async function takeBody(request: HttpRequest, xml: XmlConversion): Promise<void> {
  const type = parseMediaRange(request.header('content-type') ?? '').type;
  if (isBinaryWrite(request) && type !== '') {
    const binary = binaryAround(request);
    if (binary !== undefined) {
      request.replaceBody(binary, fhirJson);
      return;
    }
  }
  if (request.body.length > 0 && xmlTypes.includes(type)) {
    request.replaceBody(await xml.jsonOf(request.body), fhirJson);
  }
}

function isBinaryWrite({ method, path }: HttpRequest): boolean {
  return (method === 'POST' || method === 'PUT') && bodyUse(method, path) === 'binary';
}

async function inForm(body: Uint8Array, request: HttpRequest, xml: XmlConversion): Promise<Uint8Array> {
  // The parameter asks, and does not demand.
  const isPretty = request.isPretty && body.length <= limits.prettyBytesMax;
  if (isXml(request.replyType)) return xml.xmlOf(body, isPretty);
  return isPretty ? prettyJson(body) : body;
}

function joined(body: Uint8Array | readonly Uint8Array[]): Uint8Array {
  if (body instanceof Uint8Array) return body;
  const [first] = body;
  return body.length === 1 && first !== undefined ? first : Buffer.concat(body);
}
