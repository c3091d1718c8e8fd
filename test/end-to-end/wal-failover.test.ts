import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import type { Failure } from '../../src/failure/failure.js';
import { readWalEnd } from '../../src/source/wal/wal-end.js';
import { again } from '../support/again.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { openPair, type PostgresPair } from '../support/postgres-pair.js';
import { waitFor } from '../support/stack.js';
import { newStateDir } from '../support/state-dir.js';

const TABLE = 'orders';
const OPTIONS = { capture: 'wal', transport: 'direct' } as const;

/** A standby takes over. A replication slot is made so that a standby has it too, from PostgreSQL 17 on. */
describe('a table that is captured from the WAL, when a standby takes over', () => {
  let stack: Stack;
  let pair: PostgresPair;
  let path: Path;
  let followed: Followed;
  const write = (note: string): Promise<unknown> =>
    path.source.query(
      `insert into ${TABLE} select max(id) + 1, '${note}' from ${TABLE}; update ${TABLE} set v = '${note}' where id % 7 = 0`,
    );

  /** The slot is acknowledged with keys. */
  const move = async (): Promise<unknown> => {
    await path.source.query(`update ${TABLE} set v = v where id = 1`);
    return followed.direct();
  };

  beforeEach(async () => {
    stack = await startStack({ stateDir: newStateDir(), servers: ['postgres'], report: () => undefined });
    pair = await openPair(stack.addresses.postgres);
    path = await openPath({ wal: true, owner: pair.address });
    await path.source.query(`create table ${TABLE} (id int primary key, v text);
      insert into ${TABLE} select i, 'first' from generate_series(1, 500) i`);
    followed = await path.add(TABLE, OPTIONS);
    await followed.copy();
    await write('before');
    await followed.expectEqual();
    await pair.catchUp(move);
  });
  afterEach(async () => {
    await path.close();
    await pair.close();
    await stack.stop();
  });

  it('goes on where it was, if the standby had everything', async () => {
    await write('carried');
    await pair.catchUp(move);
    await pair.failOver();
    await path.reconnect();
    await write('after');
    expect(await again(() => followed.expectEqual())).toBe(503);
  });

  it('parks if the standby lacked the last seconds, and the command that is printed heals it', async () => {
    await pair.isolate();
    await write('lost');
    await followed.expectEqual();
    await pair.failOver();
    await path.reconnect();
    await write('other');
    const failure = (await again(() => followed.direct()).catch((error: unknown) => error)) as Failure;
    expect(failure).toMatchObject({ kind: 'LedgerSetBack' });
    expect(failure.remedy).toContain(`pg2click remove public.${TABLE}, then pg2click add public.${TABLE}`);
    expect(failure.remedy).toContain('--capture wal');
    await again(() => followed.remove());
    followed = await path.add(TABLE, OPTIONS);
    await followed.copy();
    await write('after');
    expect(await again(() => followed.expectEqual())).toBe(503);
  });

  it('waits for what is read there: positions of the server that is lost say nothing of it', async () => {
    await path.source.query('create table noise (v text)');
    await pair.catchUp(move);
    const { rows } = await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader');
    const reader = path.deps.wal.of(rows[0]?.slot ?? '');
    using _ = reader.hold();
    await pair.isolate();
    // Nobody's, and less than an idle reader notes.
    await path.source.query(`insert into noise select repeat('x', 1000) from generate_series(1, 400)`);
    const lost = await readWalEnd(path.source);
    await waitFor(() => Promise.resolve(!reader.isBefore(lost) && reader.hasReached(lost)), {
      deadlineMs: 30_000,
      what: 'the noise is read',
    });
    await pair.failOver();
    await path.reconnect();
    // What is read cannot be written.
    const holder = await path.session();
    await holder.query(`begin; lock table pg2click.outbox_${followed.receipt.id} in access exclusive mode`);
    await write('after');
    const end = await readWalEnd(path.source);
    expect(end).toBeLessThan(lost);
    expect({ isBefore: reader.isBefore(end), hasReached: reader.hasReached(end) }).toEqual({
      isBefore: true,
      hasReached: false,
    });
    await holder.query('rollback');
    await waitFor(() => Promise.resolve(!reader.isBefore(end) && reader.hasReached(end)), {
      deadlineMs: 60_000,
      what: 'it is read',
    });
    expect(await again(() => followed.expectEqual())).toBe(502);
  });

  it('is equal after PostgreSQL was stopped in the middle of a load, three times', async () => {
    for (let round = 0; round < 3; round++) {
      const writer = await path.session();
      const writing = (async () => {
        for (let n = 0; ; n++)
          await writer.query(
            `insert into ${TABLE} values (${10_000 * (round + 1) + n}, 'load'); update ${TABLE} set v = v || '.' where id % 50 = ${n % 50}`,
          );
      })().catch(() => undefined);
      await again(() => followed.direct());
      const stopped = stack.kill('postgres', 'SIGQUIT');
      await followed.direct().catch(() => undefined);
      await stopped;
      await writing;
      await stack.start('postgres');
    }
    await path.reconnect();
    expect(await again(() => followed.expectEqual())).toBeGreaterThan(502);
  });
});
