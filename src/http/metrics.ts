// Figures for Prometheus: the process, and how many requests of each interaction took how long. No ids.
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  observe(interaction: string, status: number, ms: number): void;
  /** Everything in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

type Child = ReturnType<Histogram<'interaction' | 'status'>['labels']>;

/** `inWork` tells how many requests are being worked on. */
export function createMetrics({
  inWork,
  hasAccessControl,
}: {
  inWork: () => number;
  hasAccessControl: boolean;
}): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const duration = new Histogram({
    name: 'careloom_request_duration_seconds',
    help: 'Time from a complete request to its answer, by interaction and status',
    labelNames: ['interaction', 'status'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [register],
  });
  new Gauge({
    name: 'careloom_requests_in_work',
    help: 'Requests being worked on',
    registers: [register],
    collect() {
      this.set(inWork());
    },
  });
  new Gauge({
    name: 'careloom_access_control',
    help: '1 while access control is on, 0 while anybody who reaches the server may do anything',
    registers: [register],
  }).set(hasAccessControl ? 1 : 0);
  const children = new Map<string, Map<number, Child>>();
  return {
    observe: (interaction, status, ms) => childFor(interaction, status).observe(ms / 1000),
    text: () => register.metrics(),
    contentType: register.contentType,
  };

  function childFor(interaction: string, status: number): Child {
    let byStatus = children.get(interaction);
    if (byStatus === undefined) {
      byStatus = new Map();
      children.set(interaction, byStatus);
    }
    let child = byStatus.get(status);
    if (child === undefined) {
      child = duration.labels(interaction, String(status));
      byStatus.set(status, child);
    }
    return child;
  }
}
