#!/usr/bin/env node
// The installed command. Plain JavaScript that old versions of Node can read, so that they can be told apart politely.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';

const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(`careloom needs Node.js 24 or newer; this is ${process.versions.node} (${process.execPath}).`);
  process.exit(2);
}

// R4's own regular expressions can hang V8's backtracking engine. Set before any of them is compiled, and for the worker
// threads to come as well; no second process is needed for it.
v8.setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

// The package has dist/; a checkout that was not built runs its TypeScript.
const candidates = ['../dist/main.js', '../dist/src/main.js', '../src/main.ts'];
const main = candidates.map((path) => new URL(path, import.meta.url)).find((url) => existsSync(fileURLToPath(url)));
if (main === undefined) {
  console.error('careloom is not complete: dist/main.js is missing. Install it again.');
  process.exit(2);
}
await import(main.href);
