import { chalkStderr } from 'chalk';

const CELLS = 30;

/** A bar for stderr: how much of something is done. */
export function bar(done: number, all: number): string {
  const filled = all === 0 ? 0 : Math.round((Math.max(0, done) / all) * CELLS);
  return chalkStderr.cyan('█'.repeat(filled)) + chalkStderr.dim('░'.repeat(CELLS - filled));
}
