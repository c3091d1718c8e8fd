import { createClient } from '@clickhouse/client';
import { afterAll, describe, expect, it } from 'vitest';
import { PartWitness } from '../../src/sink/part-witness.js';
import { clickhouseOptions } from '../support/clients.js';
import { freshSink } from '../support/stack.js';

/** The highest version that a table holds, without reading what was read before. */
describe('the witness of the parts', async () => {
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
  const target = { database, table: 'orders' };
  const witness = new PartWitness(listening);
  const run = async (query: string): Promise<void> => void (await ch.command({ query }));
  const create = (): Promise<void> =>
    run(`create table orders (id Int64, _version UInt128, _deleted UInt8)
      engine = ReplacingMergeTree(_version, _deleted) order by id`);
  const readings = (): number => asked.splice(0).filter((query) => query.includes('from `parts')).length;

  it('reads each part once, and follows merges, deletions and tables made anew', async () => {
    expect(await witness.highest(target)).toBe(0n);
    await create();
    expect(await witness.highest(target)).toBe(0n);
    await run(`insert into orders select number, 7, 0 from numbers(10)`);
    expect(await witness.highest(target)).toBe(7n);
    readings();
    expect(await witness.highest(target)).toBe(7n);
    expect(readings()).toBe(0);

    await run(`insert into orders select number, 9, 0 from numbers(10)`);
    expect(await witness.highest(target)).toBe(9n);
    await run(`optimize table orders final`);
    expect(await witness.highest(target)).toBe(9n);
    await run(`alter table orders delete where _version > 8 settings mutations_sync = 1`);
    expect(await witness.highest(target)).toBe(0n);

    await run(`truncate table orders`);
    expect(await witness.highest(target)).toBe(0n);
    await run(`insert into orders values (1, 5, 0)`);
    expect(await witness.highest(target)).toBe(5n);
    await run(`drop table orders sync`);
    await create();
    await run(`insert into orders values (1, 3, 0)`);
    expect(await witness.highest(target)).toBe(3n);
  });
});
