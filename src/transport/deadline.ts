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
