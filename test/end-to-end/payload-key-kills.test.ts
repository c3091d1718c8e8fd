import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { createFlights, FLIGHTS, readFlights } from '../../dev/demo/flights.js';
import { createGates, GATES } from '../../dev/demo/gates.js';
import { createNotes, NOTES } from '../../dev/demo/notes.js';
import { seededRandom } from '../../dev/demo/random.js';
import { startWriter } from '../../dev/demo/writer.js';
import { openHarness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink } from '../support/stack.js';

const CHANGES = Number(process.env['PG2CLICK_KILL_CHANGES'] ?? 20_000);
const KILL_EVERY_MS = 3_000;
/** A transaction changes about nine rows. */
const RATE = 180;
const SETTLE_MS = 120_000;

it(`keeps both sides equal through ${CHANGES} changes of every kind sent as keys, with kill -9 of the worker every ${KILL_EVERY_MS} ms`, async () => {
  const harness = await openHarness({
    postgres: await freshDatabase('kill'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('kill'),
    temporal: addressOf('temporal'),
  });
  onTestFinished(() => harness.close());
  const pg = await harness.connect();
  const flights = await readFlights(4_000);
  const noted = flights.slice(0, 1_000);
  await createFlights(pg, flights);
  await createNotes(pg, noted);
  await createGates(pg);
  await harness.add(...[FLIGHTS, NOTES, GATES].map((name) => ({ ...name, payload: 'key' as const })));
  await harness.watchInserts();

  const random = seededRandom(2);
  let kills = 0;
  const writer = startWriter({
    connect: () => harness.connect(),
    connections: 4,
    seed: 2,
    flights: flights.length,
    notes: noted.length,
    rate: RATE,
    changes: CHANGES,
  });
  let writing = true;
  void writer.ended.finally(() => (writing = false)).catch(() => undefined);
  while (writing) {
    // Not in step with anything: half as long to half as long again.
    const pause = sleep(KILL_EVERY_MS / 2 + random.below(KILL_EVERY_MS));
    await Promise.race([writer.ended.catch(() => undefined), pause]);
    await harness.worker.kill();
    kills += 1;
    await harness.worker.start();
  }
  await writer.ended;
  const comparisons = await harness.settle(SETTLE_MS);
  const inserts = await harness.countInserts();
  console.log(JSON.stringify({ keyedKills: { ...writer.totals, kills, inserts } }));
  expect(comparisons.flatMap(({ table, differences }) => differences.map((each) => ({ table, ...each })))).toEqual([]);
  expect(comparisons.every(isEqual)).toBe(true);
  expect(harness.deaths).toEqual([]);
  expect(kills).toBeGreaterThan(1);
  expect(inserts.rows).toBeGreaterThan(CHANGES / 10);
}, 600_000);
