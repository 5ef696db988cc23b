/** Does asynchronous work, some of it at once; the results in order. After a failure nothing more is begun. */
export async function inTurns<T>(work: readonly (() => Promise<T>)[], atOnce: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < work.length; at = next++) {
      try {
        results[at] = await (work[at] as () => Promise<T>)();
      } catch (error) {
        next = work.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, work.length) }, worker));
  return results;
}
