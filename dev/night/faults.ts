import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom, type Random } from '../demo/random.js';
import type { Act, Fault, Scene } from './fault.js';
import { NETWORK_FAULTS } from './faults/network.js';
import { OPERATOR_FAULTS } from './faults/operator.js';
import { SERVER_FAULTS } from './faults/servers.js';
import { SINK_FAULTS } from './faults/sink.js';
import { SOURCE_FAULTS } from './faults/source.js';
import { WORKER_FAULTS } from './faults/workers.js';

export const FAULTS: readonly Fault[] = [
  ...WORKER_FAULTS,
  ...SERVER_FAULTS,
  ...NETWORK_FAULTS,
  ...SOURCE_FAULTS,
  ...SINK_FAULTS,
  ...OPERATOR_FAULTS,
];

/** Between two faults of a track. Rows flow again in 2 to 15 s; the next fault may come before that. */
const GAP_MS = { least: 3_000, most: 15_000 };

/** Draws faults until the night ends, each track for itself. @returns how many there were, by name */
export async function runFaults(
  scene: Scene,
  { seed, only }: { readonly seed: number; readonly only: readonly string[] },
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const wanted = FAULTS.filter(({ name }) => only.length === 0 || only.includes(name));
  const run = async (track: Fault['track'], random: Random): Promise<void> => {
    const faults = wanted.filter((fault) => fault.track === track);
    const [first, ...others] = faults;
    if (first === undefined) return;
    while (await gap(scene, random)) {
      const fault = random.pick([first, ...others]);
      const act = fault.draw(scene, random);
      if (act === undefined) continue;
      counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1);
      await perform(scene, act);
    }
  };
  await Promise.all([run('machines', seededRandom(seed)), run('tables', seededRandom(seed + 1_000_003))]);
  return counts;
}

async function perform({ journal }: Scene, act: Act): Promise<void> {
  const { title, table } = act;
  journal.say(`!! ${title}`);
  if (table !== undefined) table.busy = true;
  try {
    await act.run();
  } catch (error) {
    journal.wonder(`${title}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    if (table !== undefined) table.busy = false;
  }
}

/** @returns false when the night is over */
async function gap({ signal }: Scene, random: Random): Promise<boolean> {
  const pause = GAP_MS.least + random.below(GAP_MS.most - GAP_MS.least);
  await sleep(pause, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}
