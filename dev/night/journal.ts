import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** What happened, as it happens, for a person who reads it later. */
export interface Journal {
  /** A line with the time. */
  say(text: string): void;
  /** Something that the program itself did not expect, in the same journal; counted. */
  wonder(text: string): void;
  readonly wonders: readonly string[];
}

export function openJournal(out: NodeJS.WriteStream, stateDir: string): Journal {
  mkdirSync(stateDir, { recursive: true });
  const file = join(stateDir, 'night.log');
  rmSync(file, { force: true });
  const startedAt = Date.now();
  const wonders: string[] = [];
  const say = (text: string): void => {
    const at = new Date();
    const since = `${((at.getTime() - startedAt) / 1_000).toFixed(0)} s`;
    const line = `${at.toISOString().slice(11, 19)} ${since.padStart(7)}  ${text}\n`;
    appendFileSync(file, line);
    out.write(line);
  };
  return {
    say,
    wonder(text) {
      wonders.push(text);
      say(`?? ${text}`);
    },
    wonders,
  };
}
