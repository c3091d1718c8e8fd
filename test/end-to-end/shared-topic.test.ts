import { expect, it, onTestFinished } from 'vitest';
import { removeTable } from '../../activities/remove-table.js';
import { attempt } from '../support/activity.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

async function openSource(): Promise<Path> {
  const path = await openPath();
  onTestFinished(() => path.close());
  await path.source.query(`create table orders (id int primary key, note text); insert into orders values (1, 'a')`);
  return path;
}

it('a loader refuses the messages of another deployment, and its remedy leads out', async () => {
  const [first, second] = [await openSource(), await openSource()];
  const topic = freshName('shared');
  // The topic is empty, so nothing tells whose it is.
  const [theirs, ours] = [await first.add('orders', { topic }), await second.add('orders', { topic })];
  await theirs.copy();
  await ours.copy();
  await first.source.query(/* sql */ `update orders set note = 'theirs'`);
  await theirs.settle();
  const [origin, own] = [await first.deps.deployment(), await second.deps.deployment()];
  await expect(ours.load({}, 20_000)).rejects.toMatchObject({
    kind: 'TopicReplaced',
    message: `The message at offset 0 of ${topic}/0 was written by deployment ${origin.id}, this is deployment ${own.id}. Two deployments write into one topic.`,
  });
  expect(await ours.sink('select note from {current}')).toBe('a');

  await ours.remove();
  await expect(second.add('orders', { topic })).rejects.toMatchObject({
    kind: 'TargetTaken',
    message: expect.stringContaining(`The topic ${topic} was last written by deployment ${origin.id}`) as unknown,
  });
  const triggers = await second.source.query(
    /* sql */ `select from pg_trigger where not tgisinternal and tgrelid = 'public.orders'::regclass`,
  );
  expect(triggers.rowCount).toBe(0);
  const address = { pipeline: second.settings.pipeline, schema: 'public', table: 'orders' };
  await attempt(() => removeTable(second.deps, { ...address, dropTarget: false })).result;
  const again = await second.add('orders', { topic: freshName('own') });
  await again.copy();
  await second.source.query(/* sql */ `update orders set note = 'ours'`);
  expect(await again.expectEqual()).toBe(1);
});

it('a loader confirms the batch before a message that it refuses', async () => {
  const [first, second] = [await openSource(), await openSource()];
  const topic = freshName('shared');
  const [theirs, ours] = [await first.add('orders', { topic }), await second.add('orders', { topic })];
  await ours.copy();
  await second.source.query(/* sql */ `update orders set note = 'ours'`);
  await ours.publish();
  await first.source.query(/* sql */ `update orders set note = 'theirs'`);
  await theirs.publish();
  await expect(ours.load({}, 20_000)).rejects.toMatchObject({ kind: 'TopicReplaced' });
  const stage = await second.ledger.query(
    /* sql */ `select batch::int, pending from pg2click.stage where table_id = $1 and stage = 'load:main'`,
    [ours.receipt.id],
  );
  expect(stage.rows).toEqual([{ batch: 1, pending: null }]);
  expect(await ours.sink('select note from {current}')).toBe('ours');
});

it('a topic that this deployment wrote before is taken again', async () => {
  const source = await openSource();
  const topic = freshName('again');
  const before = await source.add('orders', { topic });
  await before.copy();
  await source.source.query(/* sql */ `update orders set note = 'b'`);
  expect(await before.expectEqual()).toBe(1);
  await before.remove();
  const again = await source.add('orders', { topic });
  await again.copy();
  await source.source.query(/* sql */ `update orders set note = 'c'`);
  expect(await again.expectEqual()).toBe(1);
});
