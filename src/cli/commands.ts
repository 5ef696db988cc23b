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
    operands: 'verify|export|report|key|seal|purge|hold [on|off]',
    summary:
      'Check the audit record and its checkpoints (exits with 1 when they do not agree), write it out as NDJSON, report who saw a patient, show the public key of the checkpoints, seal and purge what is old, or keep everything under a legal hold.',
    options: {
      patient: { type: 'string', value: 'ID', description: 'report, export: the patient; all of them without it.' },
      disclosures: {
        type: 'boolean',
        description: 'report: account for disclosures: purposes other than treatment, payment and operations.',
      },
      outside: {
        type: 'string',
        value: 'CLIENT',
        multiple: true,
        description:
          'report, export: what this client is shown is a disclosure, as that of CARELOOM_OUTSIDE_CLIENTS; may be repeated.',
      },
      format: { type: 'string', value: 'text|csv', description: 'report: text by default.' },
      sort: {
        type: 'string',
        value: 'COLUMN',
        description: 'report: by this column of it, the highest first as --sort=-COLUMN; by time without it.',
      },
      from: { type: 'string', value: 'DATE', description: 'report, export: from then on.' },
      to: { type: 'string', value: 'DATE', description: 'report, export: to the end of then.' },
      out: { type: 'string', value: 'FILE|-', description: 'export: file to write; - for standard output. Needed.' },
      form: {
        type: 'string',
        value: 'events|rows|disclosures',
        description: 'export: AuditEvents (the default), the rows as kept, or the AuditEvents of disclosures alone.',
      },
      checkpoints: {
        type: 'string',
        value: 'FILE',
        description: 'verify: file of checkpoints; CARELOOM_AUDIT_CHECKPOINTS by default.',
      },
      key: {
        type: 'string',
        value: 'FILE',
        description: "verify: key of the checkpoints in PEM; the installation's own by default.",
      },
      'dry-run': { type: 'boolean', description: 'purge: only tell what would be purged.' },
      reason: { type: 'string', value: 'TEXT', description: 'hold: why; it is on record. Needed for on and off.' },
    },
    run: async (invocation) => (await import('./audit.ts')).audit(invocation),
  },
  {
    name: 'client',
    operands: 'add|list|enable|disable|rotate-secret|registration-token [ID]',
    summary: 'Register apps and backend services, list them, shut them out or let them in, give them a new secret.',
    options: {
      name: { type: 'string', value: 'TEXT', description: 'add: the name that people are shown. Needed.' },
      id: { type: 'string', value: 'ID', description: 'add: its client_id; chosen by the server by default.' },
      scope: {
        type: 'string',
        value: 'SCOPES',
        multiple: true,
        description: 'add: the most it may be granted. Needed.',
      },
      redirect: { type: 'string', value: 'URI', multiple: true, description: 'add: a redirect URI; may be repeated.' },
      launch: { type: 'string', value: 'URL', description: 'add: where the EHR opens it.' },
      secret: { type: 'boolean', description: 'add: it keeps a secret, which is made and shown once.' },
      keys: { type: 'string', value: 'FILE|URL', description: 'add: its public keys, a JWK Set; it signs assertions.' },
      service: { type: 'boolean', description: 'add: a backend service, with system/ scopes; it needs --keys.' },
      role: {
        type: 'string',
        value: 'ROLE',
        multiple: true,
        description: 'add: what a backend service is bound to: lab, pharmacy, …',
      },
      'on-behalf-of': { type: 'string', value: 'REF', description: 'add: for whom it works then: Organization/1.' },
      'pushed-requests': { type: 'boolean', description: 'add: it pushes its authorization requests (RFC 9126).' },
      dpop: { type: 'boolean', description: 'add: its tokens are bound to a key that it shows (RFC 9449).' },
      'first-party': { type: 'boolean', description: 'add: ours; it may launch other apps.' },
      'resource-server': { type: 'boolean', description: 'add: it may ask what tokens of others mean.' },
    },
    run: async (invocation) => (await import('./client.ts')).client(invocation),
  },
  {
    name: 'user',
    operands: 'add|list|disable|enable|password|roles|reset-factors [LOGIN [ROLE…]]',
    summary:
      'Add people who may sign in, list them, shut them out or let them in, set passwords and roles, take away second factors. A password is asked for, or read from standard input; it is no argument.',
    options: {
      name: { type: 'string', value: 'TEXT', description: 'add: the name of the person. Needed.' },
      role: { type: 'string', value: 'ROLE', multiple: true, description: 'add: a role; may be repeated. Needed.' },
      'fhir-user': {
        type: 'string',
        value: 'TYPE/ID',
        description: 'add: the resource that the person is, such as Practitioner/1.',
      },
      clearance: {
        type: 'string',
        value: 'CODE',
        multiple: true,
        description: 'add: code of a restricted label that the person may see; may be repeated.',
      },
    },
    run: async (invocation) => (await import('./user.ts')).user(invocation),
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
