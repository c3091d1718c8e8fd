import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { composeVersion } from '../../src/domain/version.js';
import { PartTracker } from '../../src/clickhouse/part-tracker.js';
import { REPLICA_STATE } from '../../src/clickhouse/replica-state.js';
import { clickhouseOptions } from '../support/clients.js';
import { freshName, freshSink, waitFor } from '../support/stack.js';

const GENERATION = 2;

/** What the parts of a table tell, without reading what was read before. */
describe('the checkpoint of the parts', async () => {
  const address = await freshSink('parts');
  const { database } = address;
  const ch = createClient({ ...clickhouseOptions(address), database });
  afterAll(() => ch.close());
  const asked: string[] = [];
  const listening = new Proxy(ch, {
    get(target, name, receiver) {
      if (name !== 'query') return Reflect.get(target, name, receiver) as unknown;
      return (params: Parameters<typeof ch.query>[0]) => {
        asked.push(params.query);
        return target.query(params);
      };
    },
  });
  let checkpoint: PartTracker;
  let table: string;
  const run = async (query: string): Promise<void> => void (await ch.command({ query }));
  const version = (position: number, generation = GENERATION): bigint => composeVersion(generation, BigInt(position));
  const create = async (name = table, options = ''): Promise<void> => {
    await run(`create table if not exists ${name}_floor (version UInt128) engine = MergeTree order by version`);
    await run(`create table ${name} (id Int64, at DateTime default now(), _version UInt128, _deleted UInt8)
      engine = ReplacingMergeTree(_version, _deleted) order by id ${options}`);
  };
  const insert = (position: number, ids = 'numbers(10)', generation = GENERATION): Promise<void> =>
    run(
      `insert into ${table} (id, _version, _deleted) select number, toUInt128('${version(position, generation)}'), 0 from ${ids}`,
    );
  const look = (by = checkpoint, seen: Parameters<PartTracker['inspect']>[2] = [], copied = 0n) =>
    by.inspect({ database, table }, GENERATION, seen, copied);
  /** In the order in which they came. */
  const partNames = async (): Promise<string[]> => {
    const query = `select name from system.parts where active and database = '${database}' and table = '${table}' order by min_block_number`;
    return (await (await ch.query({ query, format: 'JSONEachRow' })).json<{ name: string }>()).map(({ name }) => name);
  };
  const readings = (): number => asked.splice(0).filter((query) => query.includes('select _part')).length;

  beforeEach(async () => {
    table = freshName('orders');
    await create();
    checkpoint = new PartTracker(listening);
  });

  it('has a question about replicas that the server understands', async () => {
    const answer = await ch.query({ query: REPLICA_STATE, query_params: { database, table }, format: 'JSONEachRow' });
    expect(await answer.json()).toEqual([]);
  });

  it('forgets nothing that another look learnt meanwhile', async () => {
    await insert(7);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    let isFirst = true;
    const gated = new Proxy(ch, {
      get(target, name, receiver) {
        if (name !== 'query') return Reflect.get(target, name, receiver) as unknown;
        return async (params: Parameters<typeof ch.query>[0]) => {
          if (isFirst && params.query.includes('select _part')) {
            isFirst = false;
            await gate;
          }
          return target.query(params);
        };
      },
    });
    const shared = new PartTracker(gated);
    const slow = look(shared);
    await waitFor(() => Promise.resolve(!isFirst), { deadlineMs: 10_000, what: 'the slow look to be in its middle' });
    await insert(9);
    const quick = look(shared);
    // It ends before the slow one, or waits for it.
    await Promise.race([quick, sleep(500)]);
    open();
    await Promise.all([slow, quick]);
    const [, newest = ''] = await partNames();
    await run(`alter table ${table} drop part '${newest}'`);
    expect((await look(shared)).lost).toMatchObject({ name: newest });
  });

  it('reads each part once, and follows merges, deletions and tables made anew', async () => {
    expect((await look()).highest).toBe(0n);
    await insert(7);
    expect((await look()).highest).toBe(version(7));
    readings();
    expect((await look()).highest).toBe(version(7));
    expect(readings()).toBe(0);

    await insert(9);
    expect((await look()).highest).toBe(version(9));
    await run(`optimize table ${table} final`);
    expect((await look()).highest).toBe(version(9));
    await run(`alter table ${table} delete where _version > ${version(8)} settings mutations_sync = 1`);
    expect((await look()).highest).toBe(0n);

    await insert(5, 'numbers(1)');
    expect((await look()).highest).toBe(version(5));
    await run(`drop table ${table} sync`);
    await create();
    await insert(3, 'numbers(1)');
    expect((await look()).highest).toBe(version(3));
  });

  it.each([
    ['emptied', async () => run(`truncate table ${table}`)],
    [
      'dropped and made anew',
      async () => {
        await run(`drop table ${table} sync`);
        await create();
      },
    ],
    [
      'exchanged for another one',
      async () => {
        await create(`${table}_other`);
        await run(`exchange tables ${table} and ${table}_other`);
      },
    ],
    [
      'robbed of one part',
      async () => {
        const { newest } = await look();
        await run(`alter table ${table} drop part '${newest?.name}'`);
      },
    ],
  ])('misses what was there in a table that was %s, however much newer came since', async (_, lose) => {
    await run(`system stop merges ${table}`);
    await insert(7);
    await insert(8);
    expect((await look()).lost).toBeUndefined();
    await lose();
    await insert(9);
    await insert(10);
    const { highest, lost } = await look();
    expect(highest).toBe(version(10));
    expect(lost).toMatchObject({ highest: expect.stringMatching(`^(${version(7)}|${version(8)})$`) as string });
    expect((await look()).lost, 'asked again').toEqual(lost);
  });

  it('misses a part of a copy that is done, all of whose parts have the same version', async () => {
    await run(`system stop merges ${table}`);
    for (const ids of ['numbers(5)', 'numbers(5, 5)', 'numbers(10, 5)']) await insert(7, ids);
    const { newest } = await look(checkpoint, [], version(7));
    const middle = (await partNames()).find((name) => name !== newest?.name) ?? '';
    await run(`alter table ${table} detach part '${middle}'`);
    expect((await look(checkpoint, [], version(7))).lost).toMatchObject({ name: middle });
    await run(`alter table ${table} attach part '${middle}'`);
    const attached = await look(checkpoint, [], version(7));
    expect(attached.lost, 'attached again').toBeUndefined();

    await run(`alter table ${table} detach part '${attached.newest?.name}'`);
    const other = new PartTracker(listening);
    expect((await look(other, [attached.newest], version(7))).lost).toMatchObject({ name: attached.newest?.name });
  });

  it('misses nothing of a copy that is under way, whose chunks are inserted again', async () => {
    await run(`system stop merges ${table}`);
    for (const ids of ['numbers(5)', 'numbers(5, 5)', 'numbers(10, 5)']) await insert(7, ids);
    await look();
    await run(`alter table ${table} drop part '${(await partNames()).at(-1) ?? ''}'`);
    await insert(7, 'numbers(10, 5)');
    expect((await look(checkpoint, [], version(7))).lost).toBeUndefined();
  });

  it('misses nothing of a copy that was merged, or detached as a whole, attached again and merged', async () => {
    for (const ids of ['numbers(5)', 'numbers(5, 5)', 'numbers(10, 5)']) await insert(7, ids);
    const { newest } = await look(checkpoint, [], version(7));
    const expectNothing = async (): Promise<void> => {
      expect((await look(checkpoint, [newest], version(7))).lost).toBeUndefined();
      expect((await look(new PartTracker(listening), [newest], version(7))).lost).toBeUndefined();
    };
    await run(`optimize table ${table} final`);
    await expectNothing();
    await run(`alter table ${table} detach partition tuple()`);
    await run(`alter table ${table} attach partition tuple()`);
    await insert(8, 'numbers(3)');
    await run(`optimize table ${table} final`);
    await expectNothing();
  });

  it('misses what somebody else has seen', async () => {
    await insert(7);
    const { newest } = await look();
    const other = new PartTracker(listening);
    expect((await look(other, [newest, undefined])).lost).toBeUndefined();
    await run(`truncate table ${table}`);
    await insert(9);
    expect((await look(new PartTracker(listening), [newest])).lost).toEqual(newest);
    expect(JSON.parse(JSON.stringify(newest))).toEqual(newest);
  });

  it('misses nothing that was merged, mutated, detached and attached again, or deleted by somebody', async () => {
    await insert(7, 'numbers(5)');
    await insert(8, 'numbers(5, 5)');
    const { newest } = await look();
    await run(`optimize table ${table} final`);
    expect((await look(checkpoint, [newest])).lost).toBeUndefined();
    await run(`alter table ${table} update at = now() where id = 1 settings mutations_sync = 1`);
    expect((await look(checkpoint, [newest])).lost).toBeUndefined();
    await run(`alter table ${table} detach partition tuple()`);
    await run(`alter table ${table} attach partition tuple()`);
    expect((await look(checkpoint, [newest])).lost).toBeUndefined();
    await run(`alter table ${table} delete where id >= 0 settings mutations_sync = 1`);
    await insert(9, 'numbers(1)');
    expect((await look(checkpoint, [newest])).lost).toBeUndefined();
  });

  it('misses nothing that is below the floor, expires, or is of an earlier generation', async () => {
    await insert(7);
    await look();
    await run(`insert into ${table}_floor values (${version(7)})`);
    await run(`truncate table ${table}`);
    await insert(8);
    expect((await look()).lost, 'below the floor').toBeUndefined();

    await insert(900, 'numbers(3)', GENERATION - 1);
    await look();
    await run(`truncate table ${table}`);
    await run(`insert into ${table}_floor values (${version(8)})`);
    expect((await look()).lost, 'of an earlier generation').toBeUndefined();

    table = freshName('expiring');
    await create(table, 'ttl at + interval 1 day');
    await insert(7);
    expect(await look()).toMatchObject({ highest: version(7), newest: undefined });
    await run(`truncate table ${table}`);
    await insert(8);
    expect((await look()).lost, 'expired').toBeUndefined();
  });
});
