// The page at `/`: what runs here, what it holds, where to go next. For the person who has just started the server.
import { createHash } from 'node:crypto';
import { Html, html } from '../base/html.ts';

/** What an edge may know of the store: a name for people, counts, whether it answers. A Store fits. */
export interface StoreFacts {
  readonly name: string;
  stats(): Promise<ReadonlyMap<string, number>>;
  ping(): Promise<void>;
}

export interface HomeFacts {
  version: string;
  baseUrl: string;
  /** While access control is off: what everybody may know then. */
  open: { storeName: string; counts: Counts } | undefined;
}

/** Live resources by type; undefined when the store does not answer. */
type Counts = ReadonlyMap<string, number> | undefined;

const style = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1a2b33; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; font-size: 1.1rem; }
table { border-collapse: collapse; } td { padding: 0.1rem 1.5rem 0.1rem 0; } td + td { text-align: right; }
.warning { border-left: 0.3rem solid #b00020; padding-left: 0.7rem; }
code { background: #eef3f5; padding: 0.1rem 0.3rem; } pre { background: #eef3f5; padding: 0.8rem; overflow-x: auto; }
`;

/** The page carries its one style sheet, and the policy allows that text and nothing else. */
export const styleSource = `'sha256-${createHash('sha256').update(style).digest('base64')}'`;

export function homePage({ version, baseUrl, open }: HomeFacts): string {
  const base = html`<a href="fhir/metadata">${baseUrl}</a>`;
  const page = html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>careloom</title>
<style>${new Html(style)}</style></head>
<body>
<h1>careloom</h1>
<p>FHIR R4 server, version ${version}, at ${base}</p>
${open === undefined ? guardedPart(baseUrl) : openPart(baseUrl, open)}
<p>The README beside the program tells of settings, loading and MongoDB.</p>
</body>
</html>
`;
  return page.text;
}

function guardedPart(baseUrl: string): Html {
  return html`<h2>Next</h2>
<ul>
<li><a href="fhir/metadata">CapabilityStatement</a>: what this server can do</li>
<li><a href="fhir/.well-known/smart-configuration">SMART configuration</a>: where apps get their tokens</li>
<li><a href="auth/account">My account</a>: which apps have access in your name</li>
<li><a href="readyz">Is the store reachable?</a></li>
</ul>
<pre>curl -s '${baseUrl}/Patient?_count=1' -H 'Authorization: Bearer …'</pre>`;
}

function openPart(baseUrl: string, { storeName, counts }: NonNullable<HomeFacts['open']>): Html {
  return html`<p class="warning"><strong>Access control is off</strong> (CARELOOM_AUTH=off): whoever reaches this address may read and
 change everything.</p>
<p>Store: ${storeName}</p>
${countsTable(counts)}
<h2>Next</h2>
<ul>
<li><a href="fhir/metadata">CapabilityStatement</a>: what this server can do</li>
<li><a href="fhir/Patient?_count=10">Patients</a>, <a href="fhir/Observation?_count=10">observations</a>,
 <a href="fhir/Appointment?_count=10">appointments</a></li>
<li><a href="readyz">Is the store reachable?</a> <a href="metrics">Metrics for Prometheus</a></li>
</ul>
<pre>curl -s '${baseUrl}/Patient?_count=1'
curl -s '${baseUrl}/Patient' -H 'Content-Type: application/fhir+json' \\
  -d '{"resourceType":"Patient","name":[{"family":"Doe","given":["Jo"]}]}'
careloom load FILE-OR-FOLDER…     careloom help</pre>`;
}

function countsTable(counts: Counts): Html {
  if (counts === undefined) return html`<p>The store does not answer now.</p>`;
  const rows = [...counts].filter(([, count]) => count > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) {
    return html`<p>No resources yet. <code>npm start</code> begins with a sample practice; <code>careloom load</code> reads files.</p>`;
  }
  const lines = rows.map(
    ([type, count]) =>
      html`<tr><td><a href="${`fhir/${type}?_count=10`}">${type}</a></td><td>${grouped(count)}</td></tr>\n`,
  );
  return html`<h2>${grouped(total)} resources</h2>
<table>
${lines}</table>`;
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}

/** Counting walks the whole store: one count serves everybody who asks within this time. */
const countsLifeMs = 5_000;

/** Counts by type, at most a few seconds old; undefined when the store does not answer. */
export function countsSource(store: StoreFacts, now: () => number): () => Promise<Counts> {
  let takenAt = Number.NEGATIVE_INFINITY;
  let counts: Promise<Counts> | undefined;
  return () => {
    if (counts === undefined || now() - takenAt > countsLifeMs) {
      takenAt = now();
      counts = Promise.resolve()
        .then(() => store.stats())
        .catch(() => undefined);
    }
    return counts;
  };
}
