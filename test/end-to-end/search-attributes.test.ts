import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { queryTable } from '../../src/control/describe-table.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const name = { schema: 'public', table: 'orders' };

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness({
    postgres: await freshDatabase('attributes'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('attributes'),
    temporal: addressOf('temporal'),
  });
  const pg = await harness.connect();
  await pg.query(`create table orders (id int primary key); insert into orders values (1)`);
  await harness.add({ ...name, sliceMs: 1_000 });
  await streams();
});
afterEach(() => harness.close());

async function listed(): Promise<Readonly<Record<string, number>>> {
  const { namespace } = harness.temporal.client.options;
  return (await harness.temporal.operator.listSearchAttributes({ namespace })).customAttributes;
}

async function remove(attribute: string): Promise<void> {
  const { namespace } = harness.temporal.client.options;
  await harness.temporal.operator.removeSearchAttributes({ namespace, searchAttributes: [attribute] });
  expect(await listed()).not.toHaveProperty(attribute);
}

async function take(attribute: string): Promise<void> {
  const { namespace } = harness.temporal.client.options;
  await harness.temporal.operator.addSearchAttributes({ namespace, searchAttributes: { [attribute]: 2 } });
}

/** Each is a change of the phase, and so of the attribute. */
async function pauseAndResume(): Promise<void> {
  const workflow = harness.temporal.client.workflow.getHandle(harness.workflowId(name));
  await workflow.signal('pause', {});
  await workflow.signal('resume', {});
}

async function expectRow(id: number): Promise<void> {
  const pg = await harness.connect();
  await pg.query(`insert into orders values ($1)`, [id]);
  await waitFor(async () => (await harness.settle(1_000)).every(isEqual), { deadlineMs: 60_000, what: 'the row' });
  await streams();
}

async function streams(): Promise<void> {
  await waitFor(async () => (await harness.describe(name))?.phase === 'streaming', {
    deadlineMs: 60_000,
    what: 'the table to stream',
  });
}

it('a search attribute that somebody removes is made again, and rows go on', async () => {
  await remove('Pg2clickPhase');
  await pauseAndResume();
  await expectRow(2);
  await waitFor(async () => 'Pg2clickPhase' in (await listed()), { deadlineMs: 60_000, what: 'the attribute' });
});

/** @returns what the memo has of the phase */
async function noted(): Promise<unknown> {
  const workflow = harness.temporal.client.workflow.getHandle(harness.workflowId(name));
  return (await workflow.describe()).memo?.['Pg2clickPhase'];
}

/** The place of a search attribute of ours, in a namespace that has no other. */
async function loseToAnother(): Promise<void> {
  const keywords = Object.values(await listed()).filter((type) => type === 2).length;
  for (let n = keywords; n < 10; n += 1) await take(`Other${n}`);
  await remove('Pg2clickPhase');
  await take('Other');
}

it('one whose place another takes is left out, also by later runs, and comes back when there is room', async () => {
  await loseToAnother();
  await waitFor(async () => (await noted()) === 'streaming', {
    deadlineMs: 60_000,
    what: 'the memo to have the phase',
  });
  await pauseAndResume();
  await expectRow(2);

  // 4 MiB of history is what makes the server suggest another run.
  const workflow = harness.temporal.client.workflow.getHandle(harness.workflowId(name));
  for (const letter of ['a', 'b', 'c', 'd']) {
    await workflow.signal('pause', { reason: letter.repeat(1_500_000) });
    await sleep(200);
  }
  await waitFor(async () => (await queryTable(harness.temporal.client, harness.workflowId(name)))?.runs === 2, {
    deadlineMs: 60_000,
    what: 'the next run',
  });
  await expectRow(3);
  expect(await noted()).toBe('streaming');

  await remove('Other');
  await waitFor(async () => 'Pg2clickPhase' in (await listed()), { deadlineMs: 90_000, what: 'the attribute' });
  await waitFor(async () => (await noted()) === undefined, { deadlineMs: 60_000, what: 'the memo to be empty' });
  await expectRow(4);
});

it('a table that wrote one before it was known to be lost is started again, and goes on where it stands', async () => {
  await loseToAnother();
  await pauseAndResume();
  await waitFor(async () => (await harness.describe(name))?.failingTask, {
    deadlineMs: 60_000,
    what: 'a failing task',
  });
  await harness.temporal.client.workflow.getHandle(harness.workflowId(name)).terminate('as status says');
  await harness.add({ ...name, sliceMs: 1_000 });
  await expectRow(2);
  expect(await noted()).toBe('streaming');
});
