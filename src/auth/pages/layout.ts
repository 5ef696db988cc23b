// The frame of every page, its style sheet and the one script. Pages work without the script, but for passkeys.
import { type Html, html } from '../../base/html.ts';
import type { AuthAnswer, AuthRoute, Cookie } from '../exchange.ts';
import { passkeyScript } from './passkey-script.ts';

export interface PageParts {
  title: string;
  body: Html;
  status?: number;
  /** Whether the page uses a passkey. */
  hasScript?: boolean;
  cookies?: readonly Cookie[];
  formTargets?: readonly string[];
}

export function page({ root }: { root: string }, parts: PageParts): AuthAnswer {
  const { title, body, status = 200, hasScript = false, cookies, formTargets } = parts;
  const script = hasScript ? html`\n<script src="${root}/auth/passkey.js" defer></script>` : html``;
  const text = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>${title} - careloom</title>
<link rel="stylesheet" href="${root}/auth/style.css">${script}
</head>
<body>
<header>careloom</header>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`.text;
  return {
    status,
    body: text,
    ...(cookies === undefined ? {} : { cookies }),
    ...(formTargets === undefined ? {} : { formTargets }),
  };
}

/** What went wrong with a form, above it; read aloud at once. */
export const problem = (text: string | undefined): Html =>
  text === undefined ? html`` : html`<p class="problem" role="alert">${text}</p>\n`;

/** A time as people read it, with its zone. */
export const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/** The style sheet and the script, which never change while the server runs. */
export const fileRoutes: readonly AuthRoute[] = [
  fileRoute('/auth/style.css', 'text/css; charset=utf-8', style()),
  fileRoute('/auth/passkey.js', 'text/javascript; charset=utf-8', passkeyScript),
];

function fileRoute(path: string, type: string, body: string): AuthRoute {
  const headers = { 'Content-Type': type, 'Cache-Control': 'public, max-age=3600' };
  return { method: 'GET', path, rate: 'page', handle: async () => ({ status: 200, headers, body }) };
}

/** Contrast of all text is 7:1 or more; what has the focus has a ring of its own. */
function style(): string {
  return `:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: #14252e; background: #eef3f5; }
header { padding: 1rem; text-align: center; font-weight: 600; letter-spacing: .05em; color: #0b4a5e; }
main { max-width: 34rem; margin: 0 auto 2rem; padding: 1.5rem 2rem 2rem; background: #fff; border: 1px solid #b9c9d0; border-radius: .5rem; }
h1 { margin: 0 0 1rem; font-size: 1.4rem; } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
label { display: block; margin: .8rem 0 .2rem; font-weight: 600; }
label.choice { display: flex; gap: .6rem; margin: .4rem 0; font-weight: 400; align-items: baseline; }
input:not([type=checkbox]):not([type=hidden]) { width: 100%; padding: .55rem; font: inherit; border: 1px solid #51656f; border-radius: .3rem; }
input[type=checkbox] { width: 1.1rem; height: 1.1rem; flex: none; transform: translateY(.15rem); }
button { margin: 1rem .6rem 0 0; padding: .6rem 1.2rem; font: inherit; font-weight: 600; border: 1px solid #0b4a5e; border-radius: .3rem; background: #0b4a5e; color: #fff; cursor: pointer; }
button.other { background: #fff; color: #0b4a5e; } button.small { margin: 0; padding: .2rem .6rem; font-weight: 400; }
a { color: #0b4a5e; }
:focus-visible { outline: 3px solid #b35900; outline-offset: 2px; }
.problem { padding: .6rem .8rem; border-left: 4px solid #a30000; background: #fdecec; color: #7a0000; }
.note { padding: .6rem .8rem; border-left: 4px solid #b35900; background: #fff4e5; color: #5c2e00; }
.hint { margin: .2rem 0 0; font-size: .9rem; color: #3a4d57; }
fieldset { margin: 1rem 0; padding: .4rem 1rem .8rem; border: 1px solid #b9c9d0; border-radius: .3rem; } legend { font-weight: 600; padding: 0 .3rem; }
.parts { margin: 0 0 .6rem 1.7rem; font-size: .95rem; }
ul.list { list-style: none; margin: 0; padding: 0; } ul.list > li { padding: .6rem 0; border-bottom: 1px solid #d6e0e4; display: flex; gap: 1rem; justify-content: space-between; align-items: center; }
ul.list form { flex: none; } main > ul.list + form, main > form + form { margin-top: 1.2rem; }
label.choice .hint { display: block; }
button.patient { display: block; width: 100%; margin: .4rem 0; text-align: left; background: #fff; color: #14252e; font-weight: 400; }
code { font-family: ui-monospace, monospace; background: #eef3f5; padding: .1rem .3rem; overflow-wrap: anywhere; }
ol.codes { columns: 2; } ol.codes code { font-size: 1.1rem; } svg.qr { display: block; width: 12rem; height: 12rem; margin: 1rem 0; }
@media (max-width: 30rem) { main { margin: 0; padding: 1rem; border: 0; border-radius: 0; } }
@media print { header, button, a { display: none; } }
`;
}
