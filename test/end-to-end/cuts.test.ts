import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { openHarness, type Harness } from '../support/harness.js';
import { measureLatency, LATENCY_TABLE, createLatencyTable } from '../support/latency-row.js';
import { proxied, type Proxies } from '../../dev/network/proxied.js';
import type { CutOptions, Direction } from '../../dev/network/proxy.js';
import { addressOf, freshDatabase, freshName, freshSink } from '../support/stack.js';

const FLOWS_MS = 45_000;
const SETTLE_MS = 60_000;
/**
 * The longest time limit is that of a publishing slice, a minute; a statement of the ledger's has half of it; Temporal's
 * connections are given up after 45 s. One of these may follow the other.
 */
const FORGOTTEN_MS = 200_000;
/** How long the network misbehaves. */
const TROUBLE_MS = 3_000;
const ROWS = 4_000;

/** The servers are well; the network between them and the worker is not. */
describe('a network that fails in the middle', { timeout: 240_000 }, () => {
  let harness: Harness;
  let proxies: Proxies;
  let closeProxies: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    const direct = {
      postgres: await freshDatabase('cuts'),
      kafka: addressOf('kafka'),
      clickhouse: await freshSink('cuts'),
      temporal: addressOf('temporal'),
    };
    const through = await proxied(direct);
    proxies = through.proxies;
    closeProxies = through.close;
    harness = await openHarness(direct, through.addresses);
    const pg = await harness.connect();
    await createLatencyTable(pg);
    await pg.end();
    await harness.add(LATENCY_TABLE);
  });
  afterAll(async () => {
    await harness?.close();
    await closeProxies?.();
  });

  /** One transaction: a batch of some 800 KB, in which the marker is in every row. */
  const write = async (marker: string): Promise<void> => {
    const pg = await harness.connect();
    await pg.query(
      /* sql */ `insert into latency (text) select $1 || repeat('.', 150) from generate_series(1, ${ROWS})`,
      [marker],
    );
    await pg.query(/* sql */ `update latency set text = text || '+' where id % 7 = 0`);
    await pg.query(/* sql */ `delete from latency where id % 11 = 0`);
    await pg.end();
  };
  const settle = async (): Promise<void> => {
    const comparisons = await harness.settle(SETTLE_MS);
    expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
    expect(harness.deaths).toEqual([]);
  };

  type Cut = readonly [what: string, server: keyof Proxies, going: Direction, cut: CutOptions];
  /** `going`: where the rows are looked for; what is cut begins there. */
  const cuts: readonly Cut[] = [
    ['the body of an insert', 'clickhouse', 'up', { direction: 'up', bytes: 100_000 }],
    ['the answer to an insert', 'clickhouse', 'up', { direction: 'down', bytes: 0 }],
    ['messages on their way to Kafka', 'kafka', 'up', { direction: 'up', bytes: 50_000 }],
    ['the answer to messages that Kafka has written', 'kafka', 'up', { direction: 'down', bytes: 0 }],
    ['messages on their way from Kafka', 'kafka', 'down', { direction: 'down', bytes: 100_000 }],
    ['the rows of a batch that is read', 'postgres', 'down', { direction: 'down', bytes: 100_000 }],
  ];
  it.each(cuts)('cuts %s: it is done again', async (_, server, going, cut) => {
    const text = freshName('cut');
    const happened = proxies[server].cutAfter({ seen: { text, going }, ...cut });
    await write(text);
    await happened;
    await settle();
  });

  it.each([
    ['published', 'advance_outbox'],
    ['loaded', 'proof = $6'],
  ])('cuts the answer to the confirmation of a %s batch', async (_, text) => {
    const happened = proxies.postgres.cutAfter({ seen: { text, going: 'up' }, direction: 'down', bytes: 0 });
    await write(freshName('cut'));
    await happened;
    await settle();
  });

  it.each(['postgres', 'kafka', 'clickhouse', 'temporal'] as const)(
    'lets %s answer nothing for a while, with connections open',
    async (server) => {
      const marker = freshName('frozen');
      await write(marker);
      proxies[server].freeze();
      await write(marker);
      await sleep(TROUBLE_MS);
      await proxies[server].pass();
      const flowsMs = await measureLatency(harness, FLOWS_MS);
      console.log(`${server}, black hole for ${TROUBLE_MS} ms: rows flow after ${flowsMs} ms`);
      await settle();
    },
  );

  it.each(['postgres', 'kafka', 'clickhouse', 'temporal'] as const)(
    'resets every connection to %s and refuses new ones for a while',
    async (server) => {
      await write(freshName('refused'));
      await proxies[server].refuse();
      await write(freshName('refused'));
      await sleep(TROUBLE_MS);
      await proxies[server].pass();
      const flowsMs = await measureLatency(harness, FLOWS_MS);
      console.log(`${server}, refused for ${TROUBLE_MS} ms: rows flow after ${flowsMs} ms`);
      await settle();
    },
  );

  it('goes on while all four are far away', async () => {
    for (const proxy of Object.values(proxies)) proxy.slow(40);
    await write(freshName('slow'));
    await measureLatency(harness, FLOWS_MS);
    for (const proxy of Object.values(proxies)) await proxy.pass();
    await settle();
  });

  // The last one: what it strands may be found out for a minute and more.
  it(
    'forgets connections without a word, as a firewall does: each is given up, and made anew',
    { timeout: 300_000 },
    async () => {
      await write(freshName('stranded'));
      for (const server of ['postgres', 'clickhouse', 'temporal'] as const) proxies[server].strand();
      await write(freshName('stranded'));
      const flowsMs = await measureLatency(harness, FORGOTTEN_MS);
      console.log(`connections forgotten: rows flow after ${flowsMs} ms`);
      await settle();
    },
  );
});
