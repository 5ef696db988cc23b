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
    name: 'audit',
    operands: 'verify|export|report',
    summary:
      'Check the audit record and its checkpoints (exits with 1 when they do not agree), write it out as NDJSON, or report who saw a patient.',
    options: {
      patient: { type: 'string', value: 'ID', description: 'report: the patient.' },
      disclosures: {
        type: 'boolean',
        description: 'report: account for disclosures: purposes other than treatment, payment and operations.',
      },
      outside: {
        type: 'string',
        value: 'CLIENT',
        multiple: true,
        description: 'report: what this client is shown is a disclosure; may be repeated.',
      },
      format: { type: 'string', value: 'text|csv', description: 'report: text by default.' },
      from: { type: 'string', value: 'DATE', description: 'report, export: from then on.' },
      to: { type: 'string', value: 'DATE', description: 'report, export: to the end of then.' },
      out: { type: 'string', value: 'FILE|-', description: 'export: file to write; - for standard output. Needed.' },
      form: {
        type: 'string',
        value: 'events|rows',
        description: 'export: AuditEvents (the default), or the rows as kept.',
      },
      checkpoints: {
        type: 'string',
        value: 'FILE',
        description: 'verify: file of checkpoints; CARELOOM_AUDIT_CHECKPOINTS by default.',
      },
      key: {
        type: 'string',
        value: 'FILE',
        description: 'verify: their key, private or public; <CARELOOM_DATA>/audit-key.pem by default.',
      },
    },
    run: async (invocation) => (await import('./audit.ts')).audit(invocation),
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
