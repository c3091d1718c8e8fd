import { afterEach, beforeEach, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { createFlights, FLIGHTS, readFlights } from '../../dev/demo/flights.js';
import { createGates, GATES } from '../../dev/demo/gates.js';
import { createNotes, NOTES } from '../../dev/demo/notes.js';
import { seededRandom } from '../../dev/demo/random.js';
import { startWriter } from '../../dev/demo/writer.js';
import { letReadWal } from '../support/least-role.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink } from '../support/stack.js';

const figure = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

/** Rows changed, by transactions that committed. */
const CHANGES = figure('PG2CLICK_KILL_CHANGES', 40_000);
const KILL_EVERY_MS = figure('PG2CLICK_KILL_EVERY_MS', 3_000);
/** Slow enough that kills fall into the writing, not only after it: a transaction changes about nine rows. */
const RATE = figure('PG2CLICK_KILL_RATE', 180);
const SEED = figure('PG2CLICK_KILL_SEED', 1);
/** Of the tables that go straight into ClickHouse. */
const CAPTURE = process.env['PG2CLICK_KILL_CAPTURE'] ?? 'outbox';
/** A worker that dies is missed after 10 s: with the last kills it may take a while. */
const SETTLE_MS = 120_000;

let harness: Harness;

beforeEach(async () => {
  const postgres = await freshDatabase('kill');
  harness = await openHarness({
    postgres,
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('kill'),
    temporal: addressOf('temporal'),
  });
  await letReadWal(postgres);
});
afterEach(() => harness.close());

it.each(['kafka', 'direct'] as const)(
  `keeps both sides equal by way of %s through ${CHANGES} changes of every kind, with kill -9 of the worker every ${KILL_EVERY_MS} ms`,
  async (transport) => {
    const pg = await harness.connect();
    const flights = await readFlights(4_000);
    const noted = flights.slice(0, 1_000);
    await createFlights(pg, flights);
    await createNotes(pg, noted);
    await createGates(pg);
    if (transport === 'kafka') await harness.add(FLIGHTS, { ...NOTES, format: 'packed' }, GATES);
    else await harness.add(...[FLIGHTS, NOTES, GATES].map((table) => ({ ...table, transport, capture: CAPTURE })));
    await harness.watchInserts();

    const startedAt = Date.now();
    const random = seededRandom(SEED);
    let kills = 0;
    const writer = startWriter({
      connect: () => harness.connect(),
      connections: 4,
      seed: SEED,
      flights: flights.length,
      notes: noted.length,
      rate: RATE,
      changes: CHANGES,
    });
    let writing = true;
    void writer.ended.finally(() => (writing = false)).catch(() => undefined);
    while (writing) {
      // Not in step with anything: half as long to half as long again.
      await within(writer.ended, KILL_EVERY_MS / 2 + random.below(KILL_EVERY_MS));
      await harness.worker.kill();
      kills += 1;
      await harness.worker.start();
    }
    await writer.ended;
    const writtenMs = Date.now() - startedAt;
    const comparisons = await harness.settle(SETTLE_MS);
    const inserts = await harness.countInserts();
    console.log(
      JSON.stringify({
        killLoop: {
          transport,
          capture: transport === 'direct' ? CAPTURE : 'outbox',
          ...writer.totals,
          kills,
          writingSeconds: Math.round(writtenMs / 100) / 10,
          equalAfterSeconds: Math.round((Date.now() - startedAt - writtenMs) / 100) / 10,
          rowsInserted: inserts.rows,
          rowsInsertedMoreThanOnce: inserts.repeated,
          rowsEqual: comparisons.map(({ table, equal, source }) => `${table} ${equal}/${source}`),
        },
      }),
    );
    expect(comparisons.flatMap(({ table, differences }) => differences.map((each) => ({ table, ...each })))).toEqual(
      [],
    );
    expect(comparisons.every(isEqual)).toBe(true);
    expect(harness.deaths).toEqual([]);
    expect(kills).toBeGreaterThan(1);
    // Each change is an event, and so is a delete: what did not pass this way was never tested.
    expect(inserts.rows).toBeGreaterThan(CHANGES / 10);
  },
  // Generous: others may use the machine too.
  120_000 + SETTLE_MS + (CHANGES / RATE) * 1_000,
);

async function within(ended: Promise<void>, milliseconds: number): Promise<void> {
  const pause = new Promise<void>((resolve) => setTimeout(resolve, milliseconds).unref());
  await Promise.race([ended.catch(() => undefined), pause]);
}
