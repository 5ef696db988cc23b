// What every interaction works with; made once by createEngine.
import type { Clock } from '../base/clock.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Row, Store } from '../store/store.ts';
import type { Emergencies } from './access/emergencies.ts';
import type { NotedTies } from './access/ties.ts';
import type { Trail } from './audit/trail.ts';
import type { Seal } from './seal.ts';
import type { IndexContext } from './search/values.ts';

export interface EngineContext extends IndexContext {
  store: Store;
  /** Commits, and tells those who live on what was written. Interactions never commit by the store itself. */
  commit: Store['commit'];
  /** Of a dry run: what it would have left under "Type/id", deletions included. */
  rehearsed?: Map<string, Row>;
  /** Where what a request touches is noted, while requests are recorded. */
  trail?: Trail | undefined;
  clock: Clock;
  /** The grant of who asks, which paging links are bound to. */
  grant?: string | undefined;
  /** Emergency access that was begun. */
  emergencies: Emergencies;
  /** What Binaries belong to. */
  ties: NotedTies;
  /** Work that outlasts its request. */
  jobs: Jobs;
  /** Seals paging links. */
  seal: Seal;
  /** Clients outside of the covered entity: what they are shown is a disclosure. */
  outsideClients: readonly string[];
  /** Refuse a write that refers to a local resource which is not there. Off by default: partners send fragments. */
  checkReferences: boolean;
}
