import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { advanceOutbox, type OutboxAdvance } from '../../src/ledger/outbox.js';
import { markReady, registerTable } from '../../src/ledger/registration.js';
import type { Definition } from '../../src/ledger/tables.js';
import type { OutboxRow } from '../../src/source/outbox/steps.js';
import { claimStage, readStages, type StageClaim } from '../../src/ledger/stages.js';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { freshDatabase, freshName, waitFor } from '../support/stack.js';

/** The step that names and confirms publish batches, on an outbox written by hand: its guards, one by one. */
describe('the outbox step', async () => {
  const address = await freshDatabase('step');
  const clients: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(address);
    await client.connect();
    clients.push(client);
    return client;
  };
  let ledger: pg.Client;
  let replica: ReplicatedTable;
  let claim: StageClaim;
  let outbox: string;

  beforeAll(async () => {
    ledger = await connect();
    await migrateLedger(ledger);
  });
  afterAll(() => Promise.all(clients.map((client) => client.end())));
  beforeEach(async () => {
    const table = freshName('orders');
    const definition: Definition = {
      columns: [],
      key: ['id'],
      route: {
        capture: { kind: 'outbox', triggerLevel: 'statement' },
        transport: { kind: 'kafka', topic: table, partitions: 1, format: 'json', payload: 'row' },
        loaders: [{ kind: 'worker', name: 'main', target: { database: 'test', table } }],
      },
    };
    const registered = await registerTable(
      ledger,
      { pipeline: 'test', name: { schema: 'public', table }, relation: '1', targetGeneration: 0, definition },
      { table: undefined, ready: false, epoch: null, past: null },
    );
    replica = registered.table;
    outbox = `pg2click.outbox_${replica.id}`;
    await ledger.query(`create table ${outbox} (xid xid8 not null default pg_current_xact_id(),
      seq bigint generated always as identity primary key, mark "char", k1 bigint)`);
    await markReady(ledger, registered.claim, {
      definition,
      fingerprint: '',
      positions: { copy: {}, publish: {}, 'load:main': {} },
    });
    claim = await claimAnew();
  });

  const claimAnew = async (): Promise<StageClaim> => {
    const stage = await claimStage<OutboxRow>(ledger, { tableId: replica.id, stage: 'publish', owner: 'test' });
    return { tableId: replica.id, stage: 'publish', epoch: stage.epoch };
  };
  /** Changes with every lock that is taken on the stage's row, and with every update. */
  const rowVersion = async (): Promise<string> => {
    const found = await ledger.query<{ version: string }>(
      `select ctid || '/' || xmin || '/' || xmax as version from pg2click.stage
      where table_id = ${replica.id} and stage = 'publish'`,
    );
    return found.rows[0]?.version ?? '';
  };
  const write = (client: pg.Client, ...keys: number[]): Promise<unknown> =>
    client.query(`insert into ${outbox} (k1) select unnest($1::bigint[])`, [keys]);
  const read = async (batch: OutboxBatch): Promise<number[]> => {
    const rows = await ledger.query<{ k1: string }>(
      `select k1 from ${outbox} where seq between $1 and $2 and pg_visible_in_snapshot(xid, $3) order by seq`,
      [batch.first, batch.last, batch.snapshot],
    );
    return rows.rows.map((row) => Number(row.k1));
  };
  const advance = (sent: { batch: number; events: number } | null, limit = 1_000): Promise<OutboxAdvance> =>
    advanceOutbox(ledger, claim, sent === null ? null : { ...sent, rows: sent.events, bytes: 0 }, limit);
  const stage = async (): Promise<OutboxRow> =>
    (await readStages(ledger, replica.id)).find((row) => row.stage === 'publish') as OutboxRow;
  const drain = async (): Promise<number[]> => {
    const keys: number[] = [];
    let next = (await advance(null)).next;
    while (next !== undefined) {
      const batch = await read(next);
      keys.push(...batch);
      next = (await advance({ batch: next.batch, events: batch.length })).next;
    }
    return keys;
  };

  it('names nothing while the outbox is empty', async () => {
    expect((await advance(null)).next).toBeUndefined();
    expect((await stage()).batch).toBe(0);
  });

  it('names at most the limit, in order, and deletes what is confirmed', async () => {
    await write(ledger, 1, 2, 3);
    const { next } = await advance(null, 2);
    expect(next).toMatchObject({ batch: 1, first: '1', last: '2', generation: 1 });
    const after = await advance({ batch: 1, events: 2 });
    expect(after.next).toMatchObject({ batch: 2, first: '3', last: '3' });
    await advance({ batch: 2, events: 1 });
    expect((await ledger.query(`select from ${outbox}`)).rowCount).toBe(0);
  });

  it('names the form that the table has, by its number', async () => {
    await write(ledger, 1, 2);
    expect((await advance(null, 1)).next).toMatchObject({ shape: 1 });
    await ledger.query(`update pg2click.replicated_table set shape = 2 where id = ${replica.id}`);
    expect((await advance(null)).next).toMatchObject({ batch: 1, shape: 1 });
    expect((await advance({ batch: 1, events: 1 })).next).toMatchObject({ batch: 2, shape: 2 });
  });

  it('delivers an event that drew a lower seq and commits later, and delays nobody meanwhile', async () => {
    const late = await connect();
    await late.query('begin');
    await write(late, 100);
    await write(ledger, 1, 2);
    expect(await drain()).toEqual([1, 2]);
    await write(ledger, 3);
    expect(await drain()).toEqual([3]);
    await late.query('commit');
    expect(await drain()).toEqual([100]);
  });

  it('does not delete an event of the range that became visible after the batch was read', async () => {
    const late = await connect();
    await write(ledger, 1);
    await late.query('begin');
    await write(late, 2);
    await write(ledger, 3);
    const { next } = await advance(null);
    expect(next).toMatchObject({ first: '1', last: '3' });
    expect(await read(next as OutboxBatch)).toEqual([1, 3]);
    await late.query('commit');
    const after = await advance({ batch: 1, events: 2 });
    expect(await read(after.next as OutboxBatch)).toEqual([2]);
  });

  it('leaves the events of a prepared transaction for a later batch', async () => {
    const gid = freshName('gid');
    const preparer = await connect();
    await preparer.query('begin');
    await write(preparer, 1);
    await preparer.query(`prepare transaction '${gid}'`);
    try {
      await write(ledger, 2);
      expect(await drain()).toEqual([2]);
    } finally {
      // An orphan would hold up the whole server.
      await ledger.query(`commit prepared '${gid}'`);
    }
    expect(await drain()).toEqual([1]);
  });

  it('keeps the low-water below every writer that is still open, and raises it once they ended', async () => {
    const open = await connect();
    await open.query('begin');
    await write(open, 1);
    await write(ledger, 2, 3);
    await drain();
    await write(ledger, 4);
    await drain();
    expect((await stage()).lowWater).toBe('0');
    await open.query('commit');
    // Writers of other databases of the server hold it up as long as they run.
    await waitFor(
      async (see) => {
        await write(ledger, 5);
        await drain();
        const { lowWater } = await stage();
        see(lowWater);
        return Number(lowWater) >= 4;
      },
      { deadlineMs: 20_000, what: 'a low-water above the writer that ended' },
    );
  });

  it('writes nothing while what was drawn cannot be seen, and sees it when it commits', async () => {
    const late = await connect();
    await late.query('begin');
    await write(late, 1);
    // The first look remembers the position, the second from which transaction on it is settled.
    for (let i = 0; i < 2; i += 1) expect((await advanceOutbox(ledger, claim, null, 10)).next).toBeUndefined();
    const before = await rowVersion();
    for (let i = 0; i < 3; i += 1)
      expect(await advanceOutbox(ledger, claim, null, 10)).toMatchObject({ lastAllocated: '1', lowWater: '0' });
    expect(await rowVersion()).toBe(before);
    await late.query('commit');
    expect((await advanceOutbox(ledger, claim, null, 10)).next).toMatchObject({ first: '1', last: '1' });
  });

  it('writes nothing when it is asked of an outbox from which nothing was drawn since', async () => {
    const before = await rowVersion();
    expect(await advanceOutbox(ledger, claim, null, 10)).toMatchObject({
      next: undefined,
      lastAllocated: '0',
      lowWater: '0',
    });
    expect(await rowVersion()).toBe(before);
  });

  /** As `drain`, where each search is in another part. */
  const drainInParts = async (): Promise<number[]> => {
    const keys: number[] = [];
    let last = 0n;
    const part = (): { after?: bigint; upTo?: bigint } => {
      const dice = Math.random();
      if (dice < 0.3) return {};
      if (dice < 0.8) return { after: last };
      const after = BigInt(Math.floor(Math.random() * Number(last + 1n)));
      return { after, upTo: after + 20n };
    };
    let next = (await advanceOutbox(ledger, claim, null, 7, part())).next;
    while (next !== undefined) {
      const events = await read(next);
      keys.push(...events);
      if (BigInt(next.last) > last) last = BigInt(next.last);
      const moved = { batch: next.batch, events: events.length, rows: events.length, bytes: 0 };
      next = (await advanceOutbox(ledger, claim, moved, 7, part())).next;
    }
    return keys;
  };

  it.each([
    ['from the low-water', drain],
    ['in parts', drainInParts],
  ])('gives every event exactly once under writers that commit and roll back in any order, %s', async (_how, some) => {
    const expected: number[] = [];
    let done = false;
    const writers = await Promise.all(
      Array.from({ length: 6 }, async (_, writer) => {
        const client = await connect();
        return async (): Promise<void> => {
          for (let turn = 0; turn < 120; turn += 1) {
            const key = writer * 1_000 + turn;
            await client.query('begin');
            await write(client, key, key + 500_000);
            if (turn % 3 === writer % 3) await client.query('select pg_sleep(0.004)');
            const rolledBack = turn % 7 === 0;
            await client.query(rolledBack ? 'rollback' : 'commit');
            if (!rolledBack) expected.push(key, key + 500_000);
          }
        };
      }),
    );
    const seen: number[] = [];
    const draining = (async () => {
      while (!done) seen.push(...(await some()));
      seen.push(...(await drain()));
    })();
    await Promise.all(writers.map((run) => run()));
    done = true;
    await draining;
    expect(seen.toSorted((a, b) => a - b)).toEqual(expected.toSorted((a, b) => a - b));
    expect(Number((await stage()).lowWater)).toBeGreaterThan(0);
  });

  it('changes nothing and says so when the outbox holds other events than were read', async () => {
    await write(ledger, 1, 2);
    const { next } = await advance(null);
    await ledger.query(`delete from ${outbox} where k1 = 1`);
    await expect(advance({ batch: next?.batch ?? 0, events: 2 })).rejects.toMatchObject({ kind: 'OutboxInconsistent' });
    expect(await read(next as OutboxBatch)).toEqual([2]);
    expect((await stage()).batch).toBe(0);
  });

  it('returns the pending name to whoever claims next, and fences the one before', async () => {
    await write(ledger, 1);
    const named = await advance(null);
    const older = claim;
    claim = await claimAnew();
    await write(ledger, 2);
    expect((await advance(null)).next).toEqual(named.next);
    await expect(advanceOutbox(ledger, older, { batch: 1, events: 1, rows: 1, bytes: 0 }, 10)).rejects.toMatchObject({
      kind: 'Fenced',
    });
    expect(await drain()).toEqual([1, 2]);
  });

  it('confirms a batch once', async () => {
    await write(ledger, 1);
    await advance(null);
    await advance({ batch: 1, events: 1 });
    await expect(advance({ batch: 1, events: 1 })).rejects.toMatchObject({ kind: 'Fenced' });
  });

  describe('beside a transaction that stays open', () => {
    const DEAD = 200_000;
    /** Events that were published, and that VACUUM cannot remove. */
    const outlive = async (): Promise<pg.Client> => {
      const late = await connect();
      await late.query('begin');
      await write(late, -1);
      await ledger.query(`insert into ${outbox} (k1) select g from generate_series(1, ${DEAD}) g`);
      const { next } = await advance(null, DEAD);
      await advance({ batch: next?.batch ?? 0, events: DEAD }, 0);
      expect((await stage()).position.last).toBe(String(DEAD + 1));
      return late;
    };
    const LAST = BigInt(DEAD + 1);

    it('finds new events without passing those that were deleted', async () => {
      const late = await outlive();
      const took = { whole: [] as number[], after: [] as number[] };
      for (let turn = 0; turn < 9; turn += 1) {
        took.whole.push((await advanceOutbox(ledger, claim, null, 100)).tookMs);
        took.after.push((await advanceOutbox(ledger, claim, null, 100, { after: LAST })).tookMs);
      }
      const median = (each: number[]): number => each.toSorted((a, b) => a - b)[4] ?? 0;
      expect(median(took.after) * 5, JSON.stringify(took)).toBeLessThan(median(took.whole));
      await write(ledger, 1);
      const { next } = await advanceOutbox(ledger, claim, null, 100, { after: LAST });
      expect(next).toMatchObject({ first: String(LAST + 1n), after: String(LAST) });
      await late.query('commit');
      await advance({ batch: next?.batch ?? 0, events: 1 }, 0);
      expect(await drain(), 'the late one').toEqual([-1]);
      expect((await stage()).position.last, 'the highest').toBe(String(LAST + 1n));
    });

    it('raises the low-water over nothing that a part left out', async () => {
      const late = await connect();
      await late.query('begin');
      await write(late, 1, 2);
      await write(ledger, 3);
      const first = (await advance(null)).next;
      await advance({ batch: first?.batch ?? 0, events: 1 }, 0);
      await late.query('commit');
      // From here on every xid has ended: a look at all of it may raise the low-water over what it saw.
      await waitFor(
        async () => {
          await write(ledger, 9);
          const { next } = await advanceOutbox(ledger, claim, null, 100, { after: 3n });
          const events = (await read(next as OutboxBatch)).length;
          await advance({ batch: next?.batch ?? 0, events }, 0);
          const { rows } = await ledger.query<{ is: boolean }>(
            `select pg_snapshot_xmin(pg_current_snapshot()) > candidate_xid as is from pg2click.stage
            where table_id = ${replica.id} and stage = 'publish'`,
          );
          return rows[0]?.is === true;
        },
        { deadlineMs: 20_000, what: 'the end of everything older' },
      );
      expect((await advanceOutbox(ledger, claim, null, 100, { after: 1_000n })).next).toBeUndefined();
      expect((await stage()).lowWater).toBe('0');
      const step = (await advanceOutbox(ledger, claim, null, 100, { after: 0n, upTo: 1n })).next;
      expect(await read(step as OutboxBatch)).toEqual([1]);
      await advance({ batch: step?.batch ?? 0, events: 1 }, 0);
      expect(await drain()).toEqual([2]);
    });

    it('raises the low-water as far as it looked and found nothing', async () => {
      await write(ledger, 1, 2, 3, 4);
      await drain();
      await waitFor(
        async () => {
          await advanceOutbox(ledger, claim, null, 100, { after: 0n, upTo: 2n });
          return (await stage()).lowWater !== '0';
        },
        { deadlineMs: 20_000, what: 'a low-water' },
      );
    });
  });

  it('commits its names synchronously, whatever the session says, so that what they see is on disk', async () => {
    await ledger.query('set synchronous_commit = off');
    try {
      for (let turn = 0; turn < 20; turn += 1) {
        await write(ledger, turn);
        const written = await ledger.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
        await advance(null);
        const flushed = await ledger.query<{ flushed: boolean }>(
          'select pg_current_wal_flush_lsn() >= $1::pg_lsn as flushed',
          [written.rows[0]?.lsn],
        );
        expect(flushed.rows[0]?.flushed).toBe(true);
        await drain();
      }
    } finally {
      await ledger.query('reset synchronous_commit');
    }
  });
});
