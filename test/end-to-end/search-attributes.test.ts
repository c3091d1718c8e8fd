import { afterEach, beforeEach, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness({
    postgres: await freshDatabase('attributes'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('attributes'),
    temporal: addressOf('temporal'),
  });
});
afterEach(() => harness.close());

it('a search attribute that somebody removes is made again, and rows go on', async () => {
  const pg = await harness.connect();
  await pg.query(`create table orders (id int primary key); insert into orders values (1)`);
  const name = { schema: 'public', table: 'orders' };
  await harness.add({ ...name, sliceMs: 1_000 });
  const { namespace } = harness.temporal.client.options;
  const listed = async (): Promise<string[]> =>
    Object.keys((await harness.temporal.operator.listSearchAttributes({ namespace })).customAttributes);
  await harness.temporal.operator.removeSearchAttributes({ namespace, searchAttributes: ['Pg2clickPhase'] });
  expect(await listed()).not.toContain('Pg2clickPhase');
  const workflow = harness.temporal.client.workflow.getHandle(harness.workflowId(name));
  // Each is a change of the phase, and so of the attribute.
  await workflow.signal('pause', {});
  await workflow.signal('resume', {});
  await pg.query(`insert into orders values (2)`);
  await waitFor(async () => (await harness.settle(1_000)).every(isEqual), { deadlineMs: 60_000, what: 'the row' });
  await waitFor(async () => (await listed()).includes('Pg2clickPhase'), { deadlineMs: 60_000, what: 'the attribute' });
  await waitFor(async () => (await harness.describe(name))?.phase === 'streaming', {
    deadlineMs: 60_000,
    what: 'the table to stream',
  });
});
