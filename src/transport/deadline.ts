import { Failure } from '../failure/failure.js';

/**
 * The promise's own result, or what `late` makes after `ms` milliseconds. The promise goes on by itself after that: kafkajs
 * can be told to stop trying, but not to give up at once. Its late rejection is nobody's.
 */
export async function withDeadline<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bell = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, bell]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param what the beginning of a sentence: "Publishing to topic orders" */
export function silence(what: string, ms: number): Failure {
  return new Failure('BrokerUnavailable', { message: `${what}: Kafka did not answer within ${ms / 1_000} s.` });
}
