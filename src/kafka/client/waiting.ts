import { KafkaTimeout } from './errors.js';

/** Wakes everyone who waits; a notification that nobody waits for is lost. */
export class Notifier {
  readonly #waiting = new Set<() => void>();

  notify(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves with the next notification, after `ms` milliseconds, or when the signal is aborted: whichever comes first. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waiting.add(wake);
      signal?.addEventListener('abort', wake);
    });
  }
}

/**
 * The promise's own result, or a `KafkaTimeout` after `ms` milliseconds. The promise goes on after that: kafkajs cannot be made
 * to give up at once. A rejection that comes late is dropped.
 * @param shownMs the time that the error names, where the caller has waited before
 */
export async function withTimeout<T>(promise: Promise<T>, ms: number, shownMs = ms): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new KafkaTimeout(shownMs)), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
