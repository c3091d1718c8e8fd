import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { createFlights, FLIGHTS, readFlights } from '../../dev/demo/flights.js';
import { createGates } from '../../dev/demo/gates.js';
import { createNotes, NOTES } from '../../dev/demo/notes.js';
import { startWriter, type Writer } from '../../dev/demo/writer.js';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { openHarness, type Harness, type Progress } from '../support/harness.js';
import { letReadWal } from '../support/least-role.js';
import { measureLatency, LATENCY_TABLE, createLatencyTable } from '../support/latency-row.js';
import { runCli } from '../support/cli.js';
import { newStateDir } from '../support/state-dir.js';
import { waitFor } from '../support/wait-for.js';
import type { ServerName } from '../../src/settings/server-name.js';

/** Away for seconds only; `dev/bench/outages.ts` stays away for a minute and measures. */
const AWAY_MS = 4_000;
/** Back-offs are 5 seconds at most; the machine may be busy. */
const FLOWS_MS = 45_000;
const SETTLE_MS = 60_000;
/** Slices end while Temporal is away. */
const SLICE_MS = 3_000;
const FLIGHT_ROWS = 500;
const NOTE_ROWS = 100;

/** Its slices outlast every absence of Temporal. */
const LONG_BEATS = { ...LATENCY_TABLE, sliceMs: 600_000 };

/** Four servers and a worker of this file's own; a writer goes on whatever happens. */
describe('a server that goes away and comes back', () => {
  const stateDir = newStateDir();
  let stack: Stack;
  let harness: Harness;
  let writer: Writer;
  let flights: string;

  beforeAll(async () => {
    stack = await startStack({ stateDir, report: () => undefined });
    harness = await openHarness(stack.addresses);
    await letReadWal(stack.addresses.postgres);
    const pg = await harness.connect();
    const rows = (await readFlights(FLIGHT_ROWS)).slice(0, FLIGHT_ROWS);
    await createFlights(pg, rows);
    await createNotes(pg, rows.slice(0, NOTE_ROWS));
    await createGates(pg);
    await createLatencyTable(pg);
    await pg.end();
    [flights = ''] = await harness.add(
      { ...FLIGHTS, sliceMs: SLICE_MS },
      { ...NOTES, format: 'packed', capture: 'wal' },
      LONG_BEATS,
    );
  });
  afterAll(async () => {
    await harness?.close();
    await stack?.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });
  beforeEach(() => {
    writer = startWriter({
      connect: () => harness.connect(),
      connections: 2,
      seed: 7,
      flights: FLIGHT_ROWS,
      notes: NOTE_ROWS,
      rate: 40,
      persistent: true,
    });
  });
  afterEach(() => writer.stop());

  /** Takes it away twice, first in order and then by kill -9. @returns how long rows took to flow after it was back */
  const outage = async (
    server: ServerName,
    during: () => Promise<void>,
    before: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<void> => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await before();
      await stack.kill(server, server === 'postgres' && signal === 'SIGTERM' ? 'SIGINT' : signal);
      try {
        await during();
      } finally {
        await stack.start(server);
      }
      const { loaded } = await look();
      const [beatMs, flightsMs] = await Promise.all([
        measureLatency(harness, FLOWS_MS),
        milliseconds(() =>
          waitFor(async () => (await look()).loaded > loaded, { deadlineMs: FLOWS_MS, what: 'flights to load' }),
        ),
      ]);
      console.log(`${server}, ${signal}: rows flow ${beatMs} and ${flightsMs} ms after it answers again`);
    }
    await writer.stop();
    const comparisons = await harness.settle(SETTLE_MS);
    expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
    expect(writer.totals.changes).toBeGreaterThan(0);
    expect(harness.deaths).toEqual([]);
  };
  const look = (): Promise<Progress> => harness.progress(flights);

  it('ClickHouse: the outbox goes on draining into Kafka', () =>
    outage('clickhouse', async () => {
      const before = await look();
      await sleep(AWAY_MS);
      await waitFor(
        async (see) => {
          const now = await look();
          see({ before, now });
          return now.published > before.published + 50 && now.outbox < 200;
        },
        { deadlineMs: 20_000, what: 'the outbox to drain' },
      );
      expect((await look()).loaded).toBeLessThan((await look()).published);
    }));

  it('Kafka: the outbox keeps what is written, and writing goes on', () =>
    outage('kafka', async () => {
      const before = await look();
      const written = writer.totals.changes;
      await sleep(AWAY_MS);
      await waitFor(async () => (await look()).outbox > before.outbox + 50, {
        deadlineMs: 20_000,
        what: 'a full outbox',
      });
      expect(writer.totals.changes).toBeGreaterThan(written);
    }));

  it('PostgreSQL: nothing can be named, and the status says why', () =>
    outage('postgres', async () => {
      // A slice is pending with the failure of its last attempt: first it may be one of an earlier outage.
      await waitFor(
        async (see) => {
          const pending = (await harness.describe(FLIGHTS))?.pending ?? [];
          see(pending);
          const loading = pending.find(({ task }) => task === 'load:main');
          return /^(?:Source|Ledger)Unavailable$/u.test(loading?.failure?.kind ?? '');
        },
        { deadlineMs: 20_000, what: 'loading to say that PostgreSQL is away', everyMs: 200 },
      );
      const status = await runCli(['--no-env-file', 'status'], { env: harness.environment });
      expect(status).toMatchObject({ code: 3, stderr: expect.stringMatching(/PostgreSQL at .* refused/u) as string });
    }));

  it('Temporal: slices go on to their ends, and a worker that starts meanwhile says what is wrong', () =>
    outage(
      'temporal',
      async () => {
        // Of long slices; the short ones may have ended as it went away.
        await measureLatency(harness, FLOWS_MS);
        await sleep(AWAY_MS);
        const late = await runCli(['--no-env-file', 'worker'], { env: harness.environment });
        expect(late).toMatchObject({ code: 3, stderr: expect.stringMatching(/Temporal at .* refused/u) as string });
      },
      longSlicesAreHeard,
    ));

  /** After an absence of more than a heartbeat timeout, Temporal gives slices that still run to another attempt. */
  const longSlicesAreHeard = (): Promise<unknown> => {
    const since = Date.now();
    const handle = harness.temporal.client.workflow.getHandle(harness.workflowId(LATENCY_TABLE));
    return waitFor(
      async () => {
        const activities = (await handle.describe()).raw.pendingActivities ?? [];
        const heard = activities.filter(({ lastHeartbeatTime }) => Number(lastHeartbeatTime?.seconds) * 1_000 > since);
        return heard.length === 2;
      },
      { deadlineMs: FLOWS_MS, what: 'both slices of the latency table to be heard', everyMs: 200 },
    );
  };
});

async function milliseconds(wait: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await wait();
  return Math.round(performance.now() - startedAt);
}
