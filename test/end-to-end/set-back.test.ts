import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { again, publishAll } from '../support/again.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { openPair, type PostgresPair } from '../support/postgres-pair.js';
import { newStateDir } from '../support/state-dir.js';

describe('a standby that takes over without the last seconds, which no receipt tells of', () => {
  let stack: Stack;
  let pair: PostgresPair;
  let path: Path;
  beforeEach(async () => {
    stack = await startStack({ stateDir: newStateDir(), servers: ['postgres'], report: () => undefined });
    pair = await openPair(stack.addresses.postgres);
    path = await openPath({ owner: pair.address, sliceMs: 1_000 });
    await path.source.query(`create table orders (id int primary key, v text)`);
  });
  afterEach(async () => {
    await path.close();
    await pair.close();
    await stack.stop();
  });
  const insert = (first: number, count: number): Promise<unknown> =>
    path.source.query(`insert into orders select i, 'v' from generate_series(${first}, ${first + count - 1}) i`);
  const failOver = async (followed: Followed): Promise<void> => {
    await pair.failOver();
    await path.reconnect();
    followed.forget();
  };

  it.each([1, 3])('parks a table of which %i published batches are unknown now', async (batches) => {
    const followed = await path.add('orders');
    await followed.copy();
    await insert(1, 5);
    await publishAll(followed);
    await pair.catchUp();
    await pair.isolate();
    for (let batch = 1; batch <= batches; batch++) {
      await insert(batch * 10, 2);
      await publishAll(followed);
    }
    await failOver(followed);
    await insert(1_000, 1);
    await expect(again(() => followed.publish())).rejects.toMatchObject({ kind: 'LedgerSetBack' });
  });

  it('parks a direct table whose rows in ClickHouse have positions that the outbox has not given yet', async () => {
    const followed = await path.add('orders', { transport: 'direct' });
    await followed.copy();
    await insert(1, 5);
    await followed.settle();
    await pair.catchUp();
    await pair.isolate();
    await insert(100, 500);
    await followed.settle();
    await failOver(followed);
    await insert(1_000, 1);
    await expect(again(() => followed.direct())).rejects.toMatchObject({ kind: 'SourceSetBack' });
  });

  it.each([{ transport: 'kafka' }, { transport: 'direct' }] as const)(
    'goes on with $transport where the standby had everything',
    async (options) => {
      const followed = await path.add('orders', options);
      await followed.copy();
      await insert(1, 5);
      await followed.settle();
      await insert(100, 200);
      await followed.settle();
      await pair.catchUp();
      await failOver(followed);
      await insert(1_000, 1);
      expect(await again(() => followed.expectEqual())).toBe(206);
    },
  );
});
