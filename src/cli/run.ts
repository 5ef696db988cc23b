// From an argument list to an exit code. The only place that turns a command's errors into words for a person.
import { parseArgs } from 'node:util';
import { type App, createApp, type Overrides } from '../app.ts';
import { describeError } from '../base/log.ts';
import { nearest } from '../base/text.ts';
import { ConfigError, readConfig } from '../config.ts';
import { type Command, exitCodes, type Invocation, type Io, UsageError } from './command.ts';
import { commands } from './commands.ts';
import { commandHelp, helpText } from './help.ts';

/** Runs one command; resolves to the exit code. `overrides` stand in for parts of the app, in tests. */
export async function runCli(argv: readonly string[], io: Io, overrides: Overrides = {}): Promise<number> {
  try {
    const [name = 'help', ...rest] = argv;
    if (name === '--help' || name === '-h') {
      io.out.write(helpText(commands));
      return exitCodes.ok;
    }
    const command = commandNamed(name);
    const { values, positionals } = parseCommand(command, rest);
    if (values.help === true) {
      io.out.write(commandHelp(command));
      return exitCodes.ok;
    }
    const openApp = (): Promise<App> => createApp(readConfig(io.environment), overrides);
    return await command.run({ values, operands: positionals, io, openApp });
  } catch (error) {
    io.err.write(`careloom: ${wordsFor(error)}\n`);
    return error instanceof UsageError || error instanceof ConfigError ? exitCodes.usage : exitCodes.failed;
  }
}

function commandNamed(name: string): Command {
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const names = commands.map((command) => command.name);
  const near = nearest(name, names);
  throw new UsageError(
    `no command '${name}'${near === undefined ? '' : `; did you mean '${near}'?`} (${names.join(', ')})`,
  );
}

function parseCommand(command: Command, args: string[]): { values: Invocation['values']; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, multiple = false }]) => [name, { type, multiple }]),
  );
  try {
    return parseArgs({
      args,
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: command.operands !== undefined,
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : ''}\nSee careloom ${command.name} --help`);
  }
}

/** Errors whose message is ours and names no patient; of any other the type and the place must do. */
const plainSpoken: readonly string[] = ['UsageError', 'ConfigError', 'StoreError', 'LoadError'];

function wordsFor(error: unknown): string {
  if (error instanceof Error) {
    const code = 'code' in error ? error.code : undefined;
    if (code === 'EADDRINUSE') return 'the port is in use by another program; choose one by PORT=…';
    // Node's own words about files, folders and sockets.
    if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return error.message;
    if (plainSpoken.includes(error.name)) return error.message;
  }
  const { type, code, stack } = describeError(error);
  return [`failed by ${type}${code === undefined ? '' : ` (${code})`}`, ...stack].join('\n    at ');
}
