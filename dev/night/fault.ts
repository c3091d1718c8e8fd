import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../demo/random.js';
import type { Ground } from './ground.js';
import type { Journal } from './journal.js';
import type { NightTable } from './table.js';

/** Where faults happen. */
export interface Scene {
  readonly ground: Ground;
  readonly tables: readonly NightTable[];
  readonly journal: Journal;
  /** Aborted when the night ends: what is broken is made whole at once. */
  readonly signal: AbortSignal;
}

/** Something that goes wrong, or is done to a table, at a moment that was drawn. */
export interface Act {
  readonly title: string;
  /** Nobody else is at it meanwhile. */
  readonly table?: NightTable;
  /** Ends when what it broke is whole again, or leaves that to the end of the night. */
  run(): Promise<void>;
}

export interface Fault {
  readonly name: string;
  readonly summary: string;
  /** Those of one track never meet each other; those of both do. */
  readonly track: 'machines' | 'tables';
  /** @returns undefined where nothing fits now */
  draw(scene: Scene, random: Random): Act | undefined;
}

/** A while that the end of the night cuts short. */
export async function away({ signal }: Pick<Scene, 'signal'>, seconds: number): Promise<void> {
  await sleep(seconds * 1_000, undefined, { signal }).catch(() => undefined);
}

const PERSIST_MS = 180_000;

/** Does it until it works: a server that it needs may be away. @throws the last error after the deadline */
export async function persist<T>(work: () => Promise<T>, deadlineMs = PERSIST_MS): Promise<T> {
  for (const deadline = Date.now() + deadlineMs; ;)
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(500);
    }
}

/** A whole number of seconds from `least` to `most`. */
export function seconds(random: Random, least: number, most: number): number {
  return least + random.below(most - least + 1);
}

/** One of the tables that nobody is at. */
export function freeTable(
  { tables }: Scene,
  random: Random,
  fits: (table: NightTable) => boolean = () => true,
): NightTable | undefined {
  const free = tables.filter((table) => !table.busy && fits(table));
  return free[random.below(free.length)];
}
