import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { runCli, type CliResult } from '../support/cli.js';
import { openHarness, type Harness } from '../support/harness.js';
import { letReadWal } from '../support/least-role.js';
import { readStatus } from '../support/read-status.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const DEADLINE = { deadlineMs: 60_000 } as const;
const DIRECT = { schema: 'public', capture: 'wal', transport: 'direct' } as const;

let harness: Harness;
let source: Client;
let ids: readonly string[];

beforeAll(async () => {
  const postgres = await freshDatabase('detached');
  harness = await openHarness({
    postgres,
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('detached'),
    temporal: addressOf('temporal'),
  });
  await letReadWal(postgres);
  source = await harness.connect();
  await source.query(`create table held (id int primary key, v text); insert into held values (1, 'a'), (2, 'b');
    create table others (id int primary key, v text)`);
  ids = await harness.add({ ...DIRECT, table: 'held' }, { ...DIRECT, table: 'others' });
});
afterAll(() => harness.close());

const cli = (...args: string[]): Promise<CliResult> => runCli(args, { env: harness.environment });

it('status says that a paused table was detached, and its commands, run as they are printed, make it equal', async () => {
  expect((await cli('pause', 'held')).code).toBe(0);
  await source.query(`drop table pg2click.outbox_${ids[0]}; insert into held values (3, 'c'); delete from held where id = 1;
    insert into others values (1, 'x')`);
  await waitFor(async () => (await readStatus(harness.environment, 'held'))?.slot?.detached !== null, {
    ...DEADLINE,
    what: 'it is detached',
  });
  const paused = await cli('status', 'held');
  expect(paused.stdout).toContain('detached from the WAL since');
  expect(paused.code).toBe(4);
  await waitFor(async () => (await readStatus(harness.environment, 'others'))?.waiting === 0, {
    ...DEADLINE,
    what: 'the other one goes on',
  });

  expect((await cli('resume', 'held')).code).toBe(0);
  await waitFor(async () => (await readStatus(harness.environment, 'held'))?.failure?.kind === 'Detached', {
    ...DEADLINE,
    what: 'it is parked',
  });
  const { failure, slot } = (await readStatus(harness.environment, 'held')) ?? {};
  expect(failure?.remedy).toBe(slot?.detached?.remedy);
  const [, remove = '', add = ''] =
    /Run pg2click (remove .+), then pg2click (add .+): it is copied again\.$/u.exec(failure?.remedy ?? '') ?? [];
  // Nobody is there to answer its question.
  for (const command of [`${remove} --yes`, add]) {
    const { code, stderr } = await cli(...command.split(' '));
    expect(code, stderr).toBe(0);
  }
  await source.query(`insert into held values (4, 'd'); delete from held where id = 2`);
  const comparisons = await harness.settle(DEADLINE.deadlineMs);
  expect(comparisons.map(({ equal }) => equal)).toEqual([2, 1]);
  expect(comparisons.every(isEqual)).toBe(true);
});
