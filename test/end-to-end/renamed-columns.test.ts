import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { describeChoices } from '../../src/domain/column-choices.js';
import { findTable } from '../../src/ledger/tables.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';

let path: Path;
beforeAll(async () => {
  path = await openPath();
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

const RENAMED = { id: 'Order Id', v: 'word', _version: 'version' };

/** Rows as JSON objects, one a line, with the names of their columns. */
async function read(table: Followed, columns = '*', from = `${table.receipt.target}_current`): Promise<string[]> {
  const result = await path.deps.clickhouse.query({
    query: `select ${columns} from ${from} order by all`,
    format: 'JSONEachRow',
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
  });
  return (await result.text()).trim().split('\n');
}
const line = (id: number, word: string | null, version: number, more = {}): string =>
  JSON.stringify({ 'Order Id': id, word, version, ...more });

describe('columns that were given other names are the same in PostgreSQL, and have them in ClickHouse', () => {
  it.each<[string, TableOptions]>([
    ['json', {}],
    ['packed', { format: 'packed' }],
    ['keys', { payload: 'key' }],
    ['direct', { transport: 'direct' }],
    ['poll', { capture: 'poll', transport: 'kafka' }],
    ['append', { capture: 'poll', engine: 'merge-tree' }],
    ['engine', { loader: 'kafka-engine' }],
  ])('%s', async (way, options) => {
    const grows = options.capture === 'poll';
    const name = `named_${way}`;
    await path.source.query(
      `create table ${name} (id bigint generated always as identity primary key, v text, _version int);
       insert into ${name} (v, _version) values ('a', 1), ('b', 2)`,
    );
    const table = await path.add(name, { ...options, renamed: RENAMED });
    if (!grows) await table.copy();
    await path.source.query(
      grows
        ? `insert into ${name} (v, _version) values ('c', 3)`
        : `update ${name} set id = default, v = 'c', _version = 3 where id = 2`,
    );
    await table.settle();
    const stored = (): Promise<string[]> =>
      way === 'append' ? read(table, '* except (_version, _deleted)', table.receipt.target) : read(table);
    expect(await stored()).toEqual(
      grows ? [line(1, 'a', 1), line(2, 'b', 2), line(3, 'c', 3)] : [line(1, 'a', 1), line(3, 'c', 3)],
    );
    if (way === 'engine') return;

    // The old name is free for another column; the chosen one stays, whatever PostgreSQL calls its column.
    await path.source.query(`insert into ${name} (v, _version) values ('before', 4)`);
    if (table.receipt.topic !== null) await table.publish();
    await path.source.query(`alter table ${name} rename v to text; alter table ${name} rename id to number;
      alter table ${name} add v int; insert into ${name} (text, _version, v) values ('after', 5, 7)`);
    await table.settle();
    expect((await stored()).slice(-2)).toEqual([line(4, 'before', 4, { v: null }), line(5, 'after', 5, { v: 7 })]);

    const known = await findTable(path.ledger, path.settings.pipeline, table.name);
    expect(describeChoices(known ?? { columns: [] })).toBe(
      'number: called Order Id; text: called word; _version: called version',
    );
  });
});

it('a new column of a chosen name parks the table, and the printed commands lead out', async () => {
  await path.source.query(`create table clash (id int primary key, v text); insert into clash values (1, 'a')`);
  const table = await path.add('clash', { renamed: { v: 'word' } });
  await table.copy();
  await path.source.query(`alter table clash add word text; insert into clash values (2, 'b', 'c')`);
  const failure = await failureOf(() => table.publish());
  expect(failure).toMatchObject({
    kind: 'SourceChanged',
    message: expect.stringContaining('the column word was added: column v has that name in ClickHouse') as string,
    remedy: expect.stringContaining('--rename-column v=word --rename-column word=word_3 ') as string,
  });
  await table.remove(true);
  const again = await path.add('clash', { renamed: { v: 'word', word: 'word_3' } });
  await again.copy();
  await again.settle();
  expect(await read(again)).toEqual(['{"id":1,"word":"a","word_3":null}', '{"id":2,"word":"b","word_3":"c"}']);
});
