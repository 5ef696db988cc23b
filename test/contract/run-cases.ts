// Each case of the contract as a test of its own, on a store of its own, with a clock that stands still until it is moved.
import { type ManualClock, manualClock, type OpenedStore, type OpenStore, type Test } from './made-up.ts';

/** What a store must do, by the sentence that says it. */
export type Case = (t: Test, opened: OpenedStore, clock: ManualClock) => Promise<void>;

export async function runCases(t: Test, open: OpenStore, cases: Readonly<Record<string, Case>>): Promise<void> {
  for (const [title, run] of Object.entries(cases)) {
    await t.test(title, async (inner) => {
      const clock = manualClock();
      const opened = await open(clock);
      inner.teardown(() => opened.close());
      await run(inner as Test, opened, clock);
    });
  }
}
