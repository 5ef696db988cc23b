// Reads a password: from the terminal without showing it, twice, or the first line of what is piped in.
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { type Io, UsageError } from './command.ts';

const BYTES_MAX = 4_096;

/** Throws UsageError when there is none, or the two differ. */
export async function readPassword(io: Io, prompt: string): Promise<string> {
  const input = io.input ?? process.stdin;
  if (input.isTTY !== true) return pipedLine(input);
  const password = await hiddenLine(io, prompt);
  if (password !== (await hiddenLine(io, 'Once more: '))) throw new UsageError('the two passwords differ');
  return password;
}

async function pipedLine(input: NonNullable<Io['input']>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of input) {
    parts.push(Buffer.from(part));
    const bytes = Buffer.concat(parts);
    if (bytes.length > BYTES_MAX || bytes.includes(0x0a)) break;
  }
  const line = Buffer.concat(parts).toString('utf8').split(/\r?\n/, 1)[0] ?? '';
  if (line === '') throw new UsageError('no password came by standard input');
  return line;
}

async function hiddenLine(io: Io, prompt: string): Promise<string> {
  // The terminal's echo goes where nobody sees it.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.input ?? process.stdin, output, terminal: true });
  io.err.write(prompt);
  try {
    return await lines.question('', { signal: io.signal });
  } finally {
    lines.close();
    io.err.write('\n');
  }
}
