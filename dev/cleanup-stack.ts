/**
 * What Node 20 has no `AsyncDisposableStack` for: runs what was deferred in reverse order. One that fails does not keep the others
 * from running, and is not thrown: what is to be stopped may be gone already.
 */
export class CleanupStack {
  #deferred: (() => Promise<unknown>)[] = [];

  defer(cleanup: () => Promise<unknown>): void {
    this.#deferred.push(cleanup);
  }

  /** Runs what was deferred since the last time. */
  async disposeAsync(): Promise<void> {
    const deferred = this.#deferred.toReversed();
    this.#deferred = [];
    for (const cleanup of deferred) await cleanup().catch(() => undefined);
  }
}
