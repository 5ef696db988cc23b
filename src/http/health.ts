// Whether the process lives and whether it can do its work: for load balancers and container supervisors.
import type { StoreFacts } from './home.ts';

export interface Health {
  status: 200 | 503;
  body: { status: string; store?: string };
}

/** The process answers: that is all this says. */
export const alive: Health = { status: 200, body: { status: 'alive' } };

/** A probe that waits longer than this counts as unanswered. */
const pingMs = 2_000;

/** 200 when the store answers within two seconds, else 503. */
export async function readiness(store: StoreFacts): Promise<Health> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('late')), pingMs);
  });
  try {
    await Promise.race([store.ping(), late]);
    return { status: 200, body: { status: 'ready', store: 'reachable' } };
  } catch {
    return { status: 503, body: { status: 'not ready', store: 'unreachable' } };
  } finally {
    clearTimeout(timer);
  }
}
