// Rounds of load and what they come to. Both sides of a comparison take turns in short rounds; a ratio is the median of
// the ratios of neighbours, so that whatever else the machine does meets both alike.
import { Connection } from './client.ts';
import { cpuMs } from './processes.ts';

/** One side of a comparison in one round. */
export interface Round {
  count: number;
  ms: number;
  /** Latencies in ms, where there are single requests. */
  latencies: number[];
  /** CPU of the process under load, ms. */
  cpu: number;
}

export interface Figures {
  perSecond: number;
  p50Ms: number;
  p95Ms: number;
  /** CPU ms of the server for each request, over all its threads. */
  cpuMs: number;
  requests: number;
}

/** An address under load, with its connections kept open. */
export class Target {
  readonly port: number;
  readonly pid: number;
  readonly #connections: Connection[];

  private constructor(served: { port: number; pid: number }, connections: Connection[]) {
    this.port = served.port;
    this.pid = served.pid;
    this.#connections = connections;
  }

  static async open(served: { port: number; pid: number }, connections: number): Promise<Target> {
    const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(served.port)));
    return new Target(served, open);
  }

  /** One request at a time on each connection for `ms`. `next` gives the bytes for a connection. */
  async drive(next: (lane: number) => Buffer, ms: number): Promise<Round> {
    const latencies: number[] = [];
    const cpuBefore = cpuMs(this.pid);
    const startedAt = performance.now();
    const lanes = this.#connections.map(async (connection, lane) => {
      for (let now = startedAt; now - startedAt < ms; ) {
        const reply = await connection.send(next(lane));
        const then = performance.now();
        latencies.push(then - now);
        now = then;
        if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.body().toString('utf8').slice(0, 600)}`);
      }
    });
    await Promise.all(lanes);
    const elapsed = performance.now() - startedAt;
    return { count: latencies.length, ms: elapsed, latencies, cpu: cpuMs(this.pid) - cpuBefore };
  }

  /** One reply, with its body. */
  async ask(request: Buffer): Promise<{ status: number; body: Buffer }> {
    const reply = await (this.#connections[0] as Connection).send(request);
    return { status: reply.status, body: reply.body() };
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** Rounds of each side in turn; the result has one list of rounds for each side. */
export async function takeTurns(sides: readonly (() => Promise<Round>)[], rounds: number): Promise<Round[][]> {
  const all: Round[][] = sides.map(() => []);
  for (let round = 0; round < rounds; round++) {
    // Every other time the other way round: nobody always goes after the same one.
    const order = [...sides.keys()];
    for (const at of round % 2 === 0 ? order : order.reverse())
      all[at]?.push(await (sides[at] as () => Promise<Round>)());
  }
  return all;
}

export function figures(rounds: readonly Round[]): Figures {
  const latencies = rounds.flatMap((round) => round.latencies).sort((a, b) => a - b);
  const count = sum(rounds.map((round) => round.count));
  return {
    perSecond: median(rounds.map(rate)),
    p50Ms: quantile(latencies, 0.5),
    p95Ms: quantile(latencies, 0.95),
    cpuMs: sum(rounds.map((round) => round.cpu)) / count,
    requests: count,
  };
}

export const rate = ({ count, ms }: Round): number => (count * 1000) / ms;

/** Median over the rounds of what `of` says about this side divided by what it says about the other. */
export function ratio(these: readonly Round[], others: readonly Round[], of: (round: Round) => number): number {
  return median(these.map((round, at) => of(round) / of(others[at] as Round)));
}

/** A quantile of a round's latencies, for `ratio`. */
export const latencyAt =
  (part: number) =>
  (round: Round): number =>
    quantile(
      [...round.latencies].sort((a, b) => a - b),
      part,
    );

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
