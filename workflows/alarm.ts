import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';

/**
 * One durable timer. A new run of the workflow sets it again.
 * @param ring called when its time has come
 * @returns sets it, or takes it away: Unix time in milliseconds. The same time again changes nothing, also after it rang.
 */
export function openAlarm(ring: () => void): (at: number | undefined) => void {
  let set: { readonly at: number; readonly scope: CancellationScope } | undefined;
  return (at) => {
    if (at === set?.at) return;
    set?.scope.cancel();
    set = undefined;
    if (at === undefined) return;
    const scope = new CancellationScope();
    set = { at, scope };
    const wait = async (): Promise<void> => {
      await sleep(Math.max(1, at - Date.now()));
      ring();
    };
    scope.run(wait).catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  };
}
