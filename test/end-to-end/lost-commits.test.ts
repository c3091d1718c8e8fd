import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { createFlights, FLIGHTS, readFlights } from '../../dev/demo/flights.js';
import { createGates, GATES } from '../../dev/demo/gates.js';
import { createNotes, NOTES } from '../../dev/demo/notes.js';
import { startWriter } from '../../dev/demo/writer.js';
import { openHarness, type Harness } from '../support/harness.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { waitFor } from '../support/stack.js';
import { SERVER_NAMES } from '../../src/settings/server-name.js';

const CRASHES = Number(process.env['PG2CLICK_CRASHES'] ?? 3);
const BETWEEN_MS = 4_000;
const FROZEN_MS = 1_000;
const FIRST_ID = -1_000_000_000;

/** Commits rows that nobody has flushed yet, until the server is gone. @returns ids whose commit was answered */
async function commitUnsafely(pg: Client, first: number): Promise<number[]> {
  const committed: number[] = [];
  try {
    for (let id = first; ; id += 1) {
      await pg.query(/* sql */ `insert into flights (id, delay, distance, time) values ($1, 7, 7, 7)`, [id]);
      committed.push(id);
      await sleep(2);
    }
  } catch {
    return committed;
  }
}

it(`both sides are equal after ${CRASHES} immediate stops of PostgreSQL, although commits that were seen are lost`, async () => {
  const { stack } = await ownStack(ownStateDir(), SERVER_NAMES);
  const harness: Harness = await openHarness(stack.addresses);
  onTestFinished(() => harness.close());
  const pg = await harness.connect();
  const flights = await readFlights(1_000);
  await createFlights(pg, flights);
  await createNotes(pg, flights.slice(0, 200));
  await createGates(pg);
  // Left to itself the WAL writer flushes every 200 ms: hardly anything would be lost.
  await pg.query(/* sql */ `alter system set wal_writer_delay = '10s'`);
  await pg.query(/* sql */ `alter system set wal_writer_flush_after = '100MB'`);
  await pg.query(/* sql */ `select pg_reload_conf()`);
  await harness.add(FLIGHTS, NOTES, GATES);

  const writer = startWriter({
    connect: () => harness.connect({ synchronousCommit: 'off' }),
    connections: 2,
    seed: 5,
    flights: flights.length,
    notes: 200,
    rate: 40,
    persistent: true,
  });
  let lost = 0;
  let answered = 0;
  for (let crash = 0; crash < CRASHES; crash += 1) {
    const unsafe = commitUnsafely(await harness.connect({ synchronousCommit: 'off' }), FIRST_ID * (crash + 1));
    await Promise.race([sleep(BETWEEN_MS), writer.ended]);
    // What was read is held up on its way, and no batch is confirmed, which would flush everything before it.
    await stack.kill('kafka', 'SIGSTOP');
    await sleep(FROZEN_MS);
    await stack.kill('postgres', 'SIGQUIT');
    await stack.kill('kafka', 'SIGCONT');
    const ids = await unsafe;
    await stack.start('postgres');
    const again = await waitFor(() => harness.connect(), { deadlineMs: 30_000, what: 'PostgreSQL' });
    const { rows } = await again.query<{ count: string }>(
      /* sql */ `select count(*) from flights where id between $1 and $2`,
      [FIRST_ID * (crash + 1), FIRST_ID * (crash + 1) + 1_000_000],
    );
    answered += ids.length;
    lost += ids.length - Number(rows[0]?.count);
  }
  await Promise.race([sleep(BETWEEN_MS), writer.ended]);
  await writer.stop();
  const stoppedAt = Date.now();
  const comparisons = await harness.settle(90_000);
  console.log(
    JSON.stringify({
      lostCommits: {
        crashes: CRASHES,
        ...writer.totals,
        answeredCommits: answered,
        lostOfThem: lost,
        equalAfterSeconds: (Date.now() - stoppedAt) / 1_000,
        rowsEqual: comparisons.map(({ table, equal, source }) => `${table} ${equal}/${source}`),
      },
    }),
  );
  // Without a loss nothing would have been shown.
  expect(answered).toBeGreaterThan(0);
  expect(lost).toBeGreaterThan(0);
  expect(comparisons.flatMap(({ table, differences }) => differences.map((each) => ({ table, ...each })))).toEqual([]);
  expect(comparisons.every(isEqual)).toBe(true);
  expect(harness.deaths).toEqual([]);
}, 300_000);
