import { afterEach, beforeEach, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { isEqual } from '../../dev/compare/compare.js';
import { createFlights, FLIGHTS, readFlights } from '../../dev/demo/flights.js';
import { createGates, GATES } from '../../dev/demo/gates.js';
import { createNotes, NOTES } from '../../dev/demo/notes.js';
import { summarise } from '../../dev/demo/percentile.js';
import { startProbe } from '../../dev/demo/probe.js';
import { startWriter } from '../../dev/demo/writer.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

/** How long the transaction stays open. */
const OPEN_MS = Number(process.env['PG2CLICK_LATE_COMMIT_MS'] ?? 6_000);
/** An id that no other writer of this test touches. */
const LATE_ID = -999_999_999;

let harness: Harness;

beforeEach(async () => {
  harness = await openHarness({
    postgres: await freshDatabase('late'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('late'),
    temporal: addressOf('temporal'),
  });
});
afterEach(() => harness.close());

it.each(['kafka', 'direct'] as const)(
  `by way of %s a transaction that drew the lowest position and commits last, ${OPEN_MS} ms later, delays nothing and loses nothing`,
  async (transport) => {
    const pg = await harness.connect();
    const flights = await readFlights(2_000);
    await createFlights(pg, flights);
    await createNotes(pg, flights.slice(0, 200));
    await createGates(pg);
    const [id] = await harness.add(...[FLIGHTS, NOTES, GATES].map((table) => ({ ...table, transport })));

    const late = await harness.connect();
    await late.query('begin');
    await late.query(/* sql */ `insert into flights (id, delay, distance, time) values ($1, 1, 2, 3)`, [LATE_ID]);
    const drawn = await late.query<{ seq: string }>(/* sql */ `select seq from pg2click.outbox_${id} where k1 = $1`, [
      LATE_ID,
    ]);
    const lateSeq = BigInt(drawn.rows[0]?.seq ?? -1);

    const probe = startProbe({
      postgres: await harness.connect(),
      clickhouse: harness.clickhouse,
      insert: /* sql */ `insert into flights (id, delay, distance, time) values ($1, 0, 0, 0)`,
      select: /* sql */ `select id from flights_current where id between {first: Int64} and {last: Int64}`,
      everyMs: 50,
    });
    const writer = startWriter({
      connect: () => harness.connect(),
      connections: 2,
      seed: 3,
      flights: flights.length,
      notes: 200,
      rate: 60,
    });
    await Promise.race([sleep(OPEN_MS), writer.ended]);
    const seenWhileOpen = probe.samples.map(({ committedAt, seenAt }) => seenAt - committedAt);
    const isThere = async (): Promise<boolean> => {
      const answer = await harness.clickhouse.query({
        query: /* sql */ `select count() from flights_current where id = ${LATE_ID}`,
        format: 'TabSeparated',
      });
      return (await answer.text()).trim() === '1';
    };
    expect(await isThere()).toBe(false);

    const committedAt = performance.now();
    await late.query('commit');
    await waitFor(isThere, { deadlineMs: 30_000, what: 'the late row in ClickHouse', everyMs: 5 });
    const lateMs = Math.round(performance.now() - committedAt);
    await writer.stop();
    probe.pauseWrites();
    await waitFor(() => probe.waiting === 0, { deadlineMs: 30_000, what: 'the last probes' });
    await probe.stop();

    const comparisons = await harness.settle(30_000);
    const others = await pg.query<{ last: string }>(
      /* sql */ `select last_value as last from pg2click.outbox_${id}_seq_seq`,
    );
    const overtaken = BigInt(others.rows[0]?.last ?? 0) - lateSeq;
    console.log(
      JSON.stringify({
        lateCommit: {
          transport,
          openMs: OPEN_MS,
          overtakenBy: Number(overtaken),
          othersMs: summarise(seenWhileOpen),
          lateRowMs: lateMs,
          changes: writer.totals.changes,
          rowsEqual: comparisons.map(({ table, equal, source }) => `${table} ${equal}/${source}`),
        },
      }),
    );
    // It really was the lowest: hundreds of events of later transactions overtook it.
    expect(lateSeq).toBeGreaterThan(0n);
    expect(Number(overtaken)).toBeGreaterThan(OPEN_MS / 20);
    // Were others held up, none of them would have been seen before the late commit.
    expect(seenWhileOpen.length).toBeGreaterThan(OPEN_MS / 200);
    expect(summarise(seenWhileOpen).p50).toBeLessThan(OPEN_MS / 2);
    expect(comparisons.flatMap(({ differences }) => differences)).toEqual([]);
    expect(comparisons.every(isEqual)).toBe(true);
    expect(harness.deaths).toEqual([]);
  },
  OPEN_MS + 180_000,
);
