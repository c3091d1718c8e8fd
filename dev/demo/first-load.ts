import { startTable } from '../../src/control/start-table.js';
import { findTable } from '../../src/ledger/tables.js';
import type { DemoContext, Fixtures } from './context.js';
import { PIPELINE } from './environment.js';
import { isQuiet } from './gauges.js';
import { expectNoPark } from './parked.js';
import { liveDisplay, number } from './live-block.js';
import { until } from './until.js';

const DEADLINE_MS = 120_000;
const LOOK_EVERY_MS = 100;
/** A table that waits for a person will not become equal by waiting. */
const LOOK_FOR_PARKED_MS = 3_000;

export interface FirstLoad {
  readonly rows: number;
  readonly seconds: number;
}

/** Second: the tables are added, and their rows come over. */
export async function loadFirst({ screen, signal, route }: DemoContext, fixtures: Fixtures): Promise<FirstLoad> {
  const { environment, tables, display } = fixtures;
  const { client } = environment.temporal;
  const startedAt = Date.now();
  const taskQueue = environment.queues.workflow;
  await Promise.all(
    tables.map((table) => startTable(client, { pipeline: PIPELINE, taskQueue, options: route, ...table.name })),
  );

  display.clock = () => `first load, ${((Date.now() - startedAt) / 1_000).toFixed(0)} s`;
  let lookedAt = Date.now();
  await screen.show(liveDisplay(display), () =>
    until('The first load', { deadlineMs: DEADLINE_MS, everyMs: LOOK_EVERY_MS, signal }, async () => {
      for (const table of tables) table.ledgerId ??= (await findTable(environment.pool, PIPELINE, table.name))?.id;
      if (Date.now() - lookedAt > LOOK_FOR_PARKED_MS) {
        lookedAt = Date.now();
        await expectNoPark(environment);
      }
      return tables.every((table) => table.ledgerId !== undefined) && isQuiet(await display.gauges.look());
    }),
  );
  const seconds = (Date.now() - startedAt) / 1_000;
  const rows = [...display.gauges.levels().values()].reduce((sum, { target }) => sum + (target ?? 0), 0);
  screen.say(
    `  ${screen.paint.green('✔')} first load: ${number(rows)} rows in ${seconds.toFixed(1)} s, ${number(rows / seconds)} rows/s`,
  );
  return { rows, seconds };
}
