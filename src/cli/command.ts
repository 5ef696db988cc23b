// What a command of the command line is: its name, its options, and how it is run. The table of all is in commands.ts.
import type { Readable } from 'node:stream';
import type { App } from '../app.ts';
import { FhirError } from '../base/outcome.ts';

export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

export interface Option {
  type: 'boolean' | 'string';
  description: string;
  /** Name of the value in the help: `DIR`. */
  value?: string;
  multiple?: boolean;
}

export interface Command {
  name: string;
  /** What comes after the options: `FILE…`. */
  operands?: string;
  summary: string;
  options: Readonly<Record<string, Option>>;
  run(invocation: Invocation): Promise<number>;
}

/** The outside of a command: where it writes, how it is stopped, and where its settings come from. */
export interface Io {
  out: { write(text: string | Uint8Array): unknown };
  err: { write(text: string): unknown };
  /** True when a person watches `err`. */
  isTerminal: boolean;
  /** Where passwords are read from; the process's standard input when absent. */
  input?: Readable & { isTTY?: boolean };
  /** Aborted by SIGINT and SIGTERM. */
  signal: AbortSignal;
  environment: Readonly<Record<string, string | undefined>>;
}

export interface Invocation {
  values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  operands: readonly string[];
  io: Io;
  /** Opens the app on the settings of the environment. Whoever opens it closes it. */
  openApp(): Promise<App>;
}

/** The command line was not understood; the message says what is. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** What `work` refuses is for the operator to read, not a fault. */
export async function inWords(work: () => Promise<string>): Promise<string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FhirError && error.status < 500) throw new UsageError(error.message);
    throw error;
  }
}

/** Runs `work` on an open app and closes it, whatever happens. */
export async function withApp<Result>(invocation: Invocation, work: (app: App) => Promise<Result>): Promise<Result> {
  const app = await invocation.openApp();
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}

/** The texts of an option that may be given several times. */
export function textsOf(value: Invocation['values'][string]): string[] {
  const list = Array.isArray(value) ? value : [value];
  return list.filter((each) => typeof each === 'string');
}
