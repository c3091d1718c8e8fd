import { afterAll, beforeAll, expect, test } from 'vitest';
import { openHarness, type Harness } from '../support/harness.js';
import { CLUSTER } from '../support/replicas/balancer.js';
import { openReplicas, type Replicas } from '../support/replicas/replicas.js';
import { addressOf, freshDatabase, freshName } from '../support/stack.js';
import { waitFor } from '../support/wait-for.js';
import { isEqual } from '../../dev/compare/compare.js';

let replicas: Replicas;
let harness: Harness;

beforeAll(async () => {
  replicas = await openReplicas(freshName('replicas'));
  const postgres = await freshDatabase();
  harness = await openHarness({
    postgres,
    kafka: addressOf('kafka'),
    temporal: addressOf('temporal'),
    clickhouse: replicas.address,
  } as never);
});

afterAll(async () => {
  await harness?.close();
  await replicas?.close();
});

test('rows arrive on both replicas', async () => {
  const postgres = await harness.connect();
  await postgres.query(`create table public.orders (id bigint primary key, status text not null)`);
  await postgres.query(`insert into public.orders select n, 'new' from generate_series(1, 1000) n`);
  await harness.add({ schema: 'public', table: 'orders', cluster: CLUSTER, sliceMs: 5000 });
  await postgres.query(`update public.orders set status = 'paid' where id <= 500`);
  const comparisons = await harness.settle(30_000);
  expect(comparisons.every(isEqual)).toBe(true);
  for (const { client } of [replicas.one, replicas.two]) {
    await waitFor(
      async (see) => {
        const r = await client.query({
          query: `select count() as n, countIf(status = 'paid') as p from ${replicas.address.database}.orders_current`,
          format: 'JSONEachRow',
        });
        const [row] = await r.json<{ n: string; p: string }>();
        see(row);
        return row?.n === '1000' && row.p === '500';
      },
      { deadlineMs: 20_000, what: 'level' },
    );
  }
  console.log(harness.deaths);
});
