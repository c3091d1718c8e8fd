import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../src/connect/postgres.js';
import type { Queryable } from '../../src/connect/queryable.js';
import { Failure } from '../../src/failure/failure.js';
import { judge, readKept } from '../../src/source/wal/budget.js';
import { detach, tidyDetached } from '../../src/source/wal/detach.js';
import { WalReaders } from '../../src/source/wal/reader.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

const DIRECT = { capture: 'wal', transport: 'direct' } as const;
const DEADLINE = { deadlineMs: 60_000 } as const;

let path: Path;
beforeAll(async () => {
  path = await openPath({ wal: true });
  await path.source.query('create table noise (v text)');
});
afterAll(() => path.close());

async function follow(): Promise<{ name: string; followed: Followed; slot: string }> {
  const name = freshName('detach');
  await path.source.query(`create table ${name} (id int primary key, v text)`);
  const followed = await path.add(name, DIRECT);
  await followed.copy();
  const { rows } = await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader');
  return { name, followed, slot: rows[0]?.slot ?? '' };
}

describe('a table is detached, or what it took given back, for what is so now', () => {
  it('and not because its outbox could not be written once, where something else stops the reader by now', async () => {
    const { name, followed, slot } = await follow();
    const outbox = `pg2click.outbox_${followed.receipt.id}`;
    await path.deps.wal.close();
    const told: string[] = [];
    let isKafkaAway = false;
    let budgetBytes: number | undefined;
    const wal = new WalReaders({
      source: path.deps.source,
      slots: path.deps.source,
      connect: (title, options) => connectPostgres(path.settings, { name: title, ...options }),
      onFailure: ({ message }) => void told.push(message),
      onWarning: (sentence) => void told.push(sentence),
      get budgetBytes() {
        return budgetBytes;
      },
      messages: {
        get topic() {
          return isKafkaAway ? 'messages' : null;
        },
        open: () => Promise.reject(new Failure('BrokerUnavailable', { message: 'Kafka is away.' })),
      },
    });
    const isTold = (text: RegExp): Promise<unknown> =>
      waitFor(() => Promise.resolve(told.some((each) => text.test(each))), { ...DEADLINE, what: String(text) });
    const hold = wal.of(slot).hold();
    try {
      await path.deps.source.query(`revoke insert on ${outbox} from current_user`);
      await path.source.query(`insert into ${name} values (1, 'a')`);
      await isTold(/writing the outbox of table/u);
      isKafkaAway = true;
      await isTold(/Kafka is away/u);
      await path.deps.source.query(`grant insert on ${outbox} to current_user`);
      await path.source.query(`insert into noise select repeat('x', 1000) from generate_series(1, 2000)`);
      budgetBytes = 1;
      await isTold(/detached from the replication slot|no table holds it back/u);
      const { rowCount } = await path.source.query('select from pg2click.wal_table where detached is not null');
      expect(rowCount).toBe(0);
    } finally {
      hold[Symbol.dispose]();
      await wal.close();
    }
  });

  it('and a worker that was frozen while it tidied up leaves a table alone that was added again', async () => {
    const { name, followed, slot } = await follow();
    expect(await detach(path.source, slot, followed.receipt.id, 'of a test')).toContain(name);
    let again: Followed | undefined;
    const frozen = {
      query: async (text: string, values?: unknown[]) => {
        const found = await path.source.query(text, values);
        if (again !== undefined || found.rows.length === 0) return found;
        await followed.remove();
        again = await path.add(name, DIRECT);
        return found;
      },
    } as unknown as Queryable;
    await tidyDetached(frozen, slot);
    expect(again).toBeDefined();
    expect((await path.source.query(`select from pg_publication_tables where tablename = '${name}'`)).rowCount).toBe(1);
  });

  it('and no table for the room that the outbox of another keeps since it was full', async () => {
    const { followed: full } = await follow();
    const { followed: busy, slot } = await follow();
    const outboxOf = ({ receipt }: Followed): string => `pg2click.outbox_${receipt.id}`;
    const fill = (of: Followed, events: number): Promise<unknown> =>
      path.source.query(`insert into ${outboxOf(of)} (k1) select g from generate_series(1, ${events}) g`);
    const kept = async () => readKept({ source: path.source, slots: path.source }, slot);
    const knows = (of: Followed, events: (each: number) => boolean): Promise<unknown> =>
      waitFor(async () => (await kept()).outboxes.some((each) => each.id === of.receipt.id && events(each.events)), {
        ...DEADLINE,
        what: 'the statistics have it',
      });
    const verdict = async () => judge({ ...(await kept()), walBytes: 1 }, 10_000_000, undefined);
    await fill(full, 200_000);
    await knows(full, (events) => events >= 200_000);
    expect(await verdict()).toMatchObject({ is: 'held by', id: full.receipt.id });
    await path.source.query(`delete from ${outboxOf(full)}`);
    await path.source.query(`vacuum ${outboxOf(full)}`);
    await fill(busy, 12_000);
    await knows(full, (events) => events === 0);
    await knows(busy, (events) => events >= 12_000);
    expect(await verdict()).toMatchObject({
      is: 'held by none',
      why: expect.stringContaining(`${outboxOf(full)} keeps`) as string,
    });
  });
});
