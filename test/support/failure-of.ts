/** The failure of the first slice that gets as far as to fail: on a busy machine one may end before it has read. */
export async function failureOf(slice: () => Promise<unknown>): Promise<unknown> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const failure = await slice().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure !== undefined) return failure;
  }
  throw new Error('no slice failed');
}
