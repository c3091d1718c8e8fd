import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { insertCopy } from '../../src/clickhouse/insert-copy.js';
import { needsBytewise } from '../../src/clickhouse/key-range.js';
import { pruneRange } from '../../src/clickhouse/prune.js';
import { targetTable, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { lackingTarget } from '../../src/domain/quarantine.js';
import { composeVersion, minorOf } from '../../src/domain/version.js';
import { keysSetAside } from '../../src/ledger/quarantine.js';
import { listTables } from '../../src/ledger/tables.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { readKeyRange, type GivenRange } from '../../src/source/copy/parse-key.js';
import { planKeyRange } from '../../src/source/copy/plan-key-range.js';
import { allocatePosition } from '../../src/source/settle.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const signal = (): AbortSignal => AbortSignal.timeout(60_000);

describe('a range that is read again and pruned', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  async function tableOf({ name }: Followed): Promise<ReplicatedTable> {
    const tables = await listTables(path.ledger, path.settings.pipeline);
    const found = tables.find((each) => each.name.table === name.table);
    if (found === undefined) throw new Error('the table is not in the ledger');
    return found;
  }

  /** What a backfill of a range does, without its workflow. @returns how many tombstones there are */
  async function backfill(followed: Followed, given: GivenRange): Promise<number> {
    const source = await tableOf(followed);
    const table = targetTable(source);
    const { clickhouse } = path.deps;
    const bytewise = needsBytewise(table, { from: given.from ? [] : null, to: given.to ? [] : null });
    const range = await readKeyRange(path.source, source, given, { bytewise });
    const position = await allocatePosition(path.source, source.id);
    const plan = await planKeyRange(path.source, source, range, 3, { signal: signal(), onProgress: () => undefined });
    for (const chunk of plan) {
      const rows = copyRows(path.source, source, position, { signal: signal(), range: chunk.range });
      await insertCopy(clickhouse, table, rows, { signal: signal() });
    }
    const version = composeVersion(source.generation, BigInt(position));
    const next = composeVersion(source.generation, BigInt(position) + 1n);
    const except = await keysSetAside(path.ledger, lackingTarget(table), [version, next]);
    return pruneRange(clickhouse, table, { range, version, except, signal: signal() });
  }

  it.each([
    ['bigint', `i`, '4', '17'],
    ['text', `chr(60 + i)`, 'A', 'K'],
  ])('heals that range of a damaged target, and nothing else: %s', async (type, value, from, to) => {
    const table = freshName('healed');
    await path.source.query(`create table ${table} (id ${type} primary key, v int not null);
      insert into ${table} select ${value}, i from generate_series(1, 30) i`);
    const followed = await path.add(table);
    await followed.copy();
    expect(await followed.expectEqual()).toBe(30);
    await path.source.query(`delete from ${table} where v in (6, 7, 27)`);
    await followed.settle();
    // Inside of the range: two rows that were deleted, and one that is missing. Outside: one of each.
    await followed.sink(`alter table {target} delete where _deleted or v in (8, 29) settings mutations_sync = 2`);
    const ids = await path.source.query<{ id: string; v: number }>(
      `select ${value}::text as id, i as v from unnest(array[6, 7, 27]) i`,
    );
    for (const { id, v } of ids.rows)
      await followed.sink(`insert into {target} select '${id}', ${v}, toUInt128('${composeVersion(1, 1n)}'), 0`);
    const shown = (): Promise<string> =>
      followed.sink(`select arraySort(groupArray(v)) from {current} where v in (6, 7, 27, 8, 29)`);
    expect(await shown()).toBe('[6,7,27]');
    expect(await backfill(followed, { from, to })).toBe(2);
    expect(await shown()).toBe('[8,27]');
    await path.source.query(`update ${table} set v = -v where v between 10 and 20`);
    expect(await backfill(followed, {})).toBe(1);
    expect(await followed.expectEqual()).toBe(27);
  });

  it('keeps the rows that ClickHouse refused when they were read again', async () => {
    const table = freshName('spared');
    await path.source.query(`create table ${table} (id bigint primary key, day date);
      insert into ${table} select i, '2024-01-01' from generate_series(1, 5) i`);
    const followed = await path.add(table);
    await followed.copy();
    await path.source.query(`update ${table} set day = '9999-12-31' where id = 2`);
    await followed.settle();
    const source = await tableOf(followed);
    const position = await path.ledger.query<{ version: string }>(
      /* sql */ `select version::text from pg2click.quarantine where table_id = $1`,
      [source.id],
    );
    const version = BigInt(position.rows[0]?.version ?? 0);
    const lowest = version - minorOf(version);
    const next = lowest + (1n << 64n);
    const lacking = lackingTarget(targetTable(source));
    const except = await keysSetAside(path.ledger, lacking, [lowest, next]);
    expect(except).toEqual(['["2"]']);
    expect(await keysSetAside(path.ledger, lacking, [next, next + next])).toEqual([]);
    const range = { from: null, to: null };
    const pruned = pruneRange(path.deps.clickhouse, targetTable(source), { range, version, except, signal: signal() });
    expect(await pruned).toBe(4);
    expect(await followed.sink(`select id, day from {current}`)).toBe('2\t2024-01-01');
  });
});
