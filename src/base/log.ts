// The log: JSON lines of facts about the server's own work. No ids, addresses, query values or bodies get in here, because
// a FHIR search carries patients' names in its URL and an error's message may quote what was being read.
import { type DestinationStream, pino } from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What may be told: names and numbers that the server itself made. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

export interface Log {
  debug(message: string, facts?: Facts): void;
  info(message: string, facts?: Facts): void;
  warn(message: string, facts?: Facts): void;
  /** `cause` is told by its type, code and stack, without its message. */
  error(message: string, cause?: unknown, facts?: Facts): void;
  /** The line of one answered request. `interaction` is a name or a route template. */
  request(requestId: string, interaction: string, status: number, ms: number): void;
  /** Resolves when what was logged so far is written. */
  flush(): Promise<void>;
}

export interface LogOptions {
  level: LogLevel;
  /** Takes one line at a time; standard error, written in the background, when absent. */
  destination?: DestinationStream;
}

export function createLog({ level, destination }: LogOptions): Log {
  // Buffered: a write per line costs more than the rest of a read by id. What is buffered is lost when the process is
  // killed, never when it ends by itself (pino flushes on exit), and errors are flushed at once.
  const stream = destination ?? pino.destination({ dest: 2, sync: false, minLength: 16_000, periodicFlush: 500 });
  const lines = pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, stream);
  const tellsRequests = lines.isLevelEnabled('info');
  const flush = () => new Promise<void>((resolve) => lines.flush(() => resolve()));
  return {
    debug: (message, facts = {}) => lines.debug(facts, message),
    info: (message, facts = {}) => lines.info(facts, message),
    warn: (message, facts = {}) => lines.warn(facts, message),
    error: (message, cause, facts = {}) => {
      lines.error(cause === undefined ? facts : { ...facts, error: describeError(cause) }, message);
      lines.flush();
    },
    request: (requestId, interaction, status, ms) => {
      if (!tellsRequests) return;
      // Put together here: pino's way from an object to this text costs a quarter of a read by id.
      const id = JSON.stringify(requestId);
      stream.write(
        `{"level":"info","time":${Date.now()},"requestId":${id},"interaction":"${interaction}","status":${status},"ms":${ms.toFixed(2)}}\n`,
      );
    },
    flush,
  };
}

export interface ErrorDescription {
  type: string;
  code?: string;
  stack: string[];
  cause?: ErrorDescription;
}

const causesMax = 4;
const framesMax = 12;

/**
 * Where an error arose and of what type it is. The message is left out: SyntaxError quotes the JSON it met, a database
 * quotes the key that clashed.
 */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, stack: [] };
  const code = 'code' in error ? error.code : undefined;
  return {
    type: plainName(error.name) ?? 'Error',
    ...(typeof code === 'number' || plainName(code) !== undefined ? { code: String(code) } : {}),
    stack: stackFrames(error),
    ...(error.cause !== undefined && depth < causesMax ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}

/** Error codes and names are short words; anything else could be data. */
function plainName(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]{0,60}$/.test(value) ? value : undefined;
}

function stackFrames(error: Error): string[] {
  const stack = String(error.stack ?? '');
  const messageAt = error.message === '' ? -1 : stack.indexOf(error.message);
  return stack
    .slice(messageAt < 0 ? 0 : messageAt + error.message.length)
    .split('\n')
    .filter((line) => /^ {4}at .*:\d+:\d+\)?$/.test(line))
    .slice(0, framesMax)
    .map((line) => line.slice('    at '.length));
}
