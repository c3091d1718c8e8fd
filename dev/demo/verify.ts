import { setTimeout as sleep } from 'node:timers/promises';
import type { Fixtures, DemoContext } from './context.js';
import { compareTable, isEqual, type Comparison } from '../compare/compare.js';
import type { WatchedTable } from './gauges.js';
import { number } from './live-block.js';

/** Counts that agree do not say that updates have arrived: rows that still differ are looked at again for so long. */
const DEADLINE_MS = 20_000;
const AGAIN_AFTER_MS = 500;

/** Last: every row of every table, on both sides. */
export async function verifyAll(context: DemoContext, fixtures: Fixtures): Promise<readonly Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const table of fixtures.tables) comparisons.push(await verify(context, fixtures, table));
  return comparisons;
}

function verify({ screen, signal }: DemoContext, { environment }: Fixtures, table: WatchedTable): Promise<Comparison> {
  return screen.step(
    `compare every row of ${table.title}`,
    async () => {
      const postgres = await environment.connect('compare');
      const deadline = Date.now() + DEADLINE_MS;
      for (;;) {
        const compared = await compareTable({
          postgres,
          clickhouse: environment.clickhouse,
          table: table.name,
          view: table.view,
          signal,
        });
        if (isEqual(compared) || Date.now() > deadline) return compared;
        await sleep(AGAIN_AFTER_MS, undefined, { signal });
      }
    },
    (compared) => ({
      text: `${number(compared.equal)} of ${number(compared.source)} equal`,
      well: isEqual(compared),
    }),
  );
}
