/** Thrown in a stage that meets a newer shape of its table than the one it was opened with: the slice opens its ends again. */
export class ShapeBehind extends Error {
  constructor(known: number, met: number) {
    super(`the stage works with shape ${known} of its table, and meets shape ${met}`);
    this.name = 'ShapeBehind';
  }
}
