// All commands, in one table: the parser, the help and the README are made from it.
import { type Command, exitCodes } from './command.ts';
import { helpText } from './help.ts';

export const commands: readonly Command[] = [
  {
    name: 'serve',
    summary: 'Serve FHIR over HTTP until stopped.',
    options: {
      sample: {
        type: 'boolean',
        description: 'On an empty store, begin with a small made-up practice. CARELOOM_SAMPLE=on|off overrides.',
      },
    },
    run: async (invocation) => (await import('./serve.ts')).serve(invocation),
  },
  {
    name: 'load',
    operands: 'FILE|FOLDER…',
    summary:
      'Load Bundles, NDJSON and single resources, plain or .gz, and FHIR packages (.tgz). Runs again where it was interrupted.',
    options: {
      again: { type: 'boolean', description: 'Load also what was loaded before.' },
      parallel: { type: 'string', value: 'N', description: 'Transactions under way at once, 1 to 32; 4 by default.' },
      diagnostics: {
        type: 'boolean',
        description: 'Show why an entry failed in full. The text may quote what was being loaded.',
      },
    },
    run: async (invocation) => (await import('./load.ts')).load(invocation),
  },
  {
    name: 'export',
    summary: 'Write all resources as NDJSON, a file for each type.',
    options: {
      out: { type: 'string', value: 'DIR|-', description: 'Folder to write to; - for standard output. Needed.' },
      type: { type: 'string', value: 'TYPE', multiple: true, description: 'Only this type; may be repeated.' },
    },
    run: async (invocation) => (await import('./export.ts')).exportResources(invocation),
  },
  {
    name: 'reindex',
    summary: 'Compute the search index of every resource anew.',
    options: {},
    run: async (invocation) => (await import('./maintain.ts')).reindex(invocation),
  },
  {
    name: 'stats',
    summary: 'Count resources by type.',
    options: {},
    run: async (invocation) => (await import('./maintain.ts')).stats(invocation),
  },
  {
    name: 'verify',
    summary: 'Check that index, history and content agree. Exits with 1 when they do not.',
    options: {},
    run: async (invocation) => (await import('./maintain.ts')).verify(invocation),
  },
  {
    name: 'help',
    summary: 'Show this text.',
    options: {},
    run: async ({ io }) => {
      io.out.write(helpText(commands));
      return exitCodes.ok;
    },
  },
];
