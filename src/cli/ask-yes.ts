import { createInterface } from 'node:readline/promises';
import type { Session } from './session.js';

/**
 * Asks a person at the terminal.
 * @param question ends with `[y/N] `
 * @returns whether the answer was yes; the end of the input (Ctrl-D) is a no
 * @throws the reason of the session's signal: Ctrl-C
 */
export async function askYes({ signal }: Pick<Session, 'signal'>, question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // The terminal is in raw mode: Ctrl-C is a key for readline, and no signal unless it is made one.
  terminal.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await terminal.question(question, { signal });
    return /^y(?:es)?$/iu.test(answer.trim());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && error.name === 'AbortError') return false;
    throw error;
  } finally {
    terminal.close();
  }
}
