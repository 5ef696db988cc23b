// Help texts, made from the tables of commands and settings.
import { settings } from '../config.ts';
import type { Command, Option } from './command.ts';

/** The whole help: commands, their options, settings. */
export function helpText(commands: readonly Command[]): string {
  return [
    'careloom: a FHIR R4 server',
    '',
    'Commands:',
    ...commands.flatMap((command) => ['', ...commandLines(command)]),
    '',
    'Settings, by environment:',
    ...settings.flatMap(({ name, description, accepts, fallback }) => [
      '',
      `  ${name}`,
      `      ${description}`,
      `      accepted: ${accepts}; default: ${fallback}`,
    ]),
    '',
    'Exit codes: 0 done, 1 failed, 2 not understood.',
    '',
  ].join('\n');
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  return `${commandLines(command).join('\n')}\n`;
}

function commandLines({ name, operands, summary, options }: Command): string[] {
  const hasOptions = Object.keys(options).length > 0;
  const usage = ['careloom', name, ...(hasOptions ? ['[options]'] : []), ...(operands === undefined ? [] : [operands])];
  return [`  ${usage.join(' ')}`, `      ${summary}`, ...Object.entries(options).map(optionLine)];
}

function optionLine([name, { value, description }]: [string, Option]): string {
  const left = `--${name}${value === undefined ? '' : ` ${value}`}`;
  return `      ${left.padEnd(18)} ${description}`;
}
