import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPath, type Path } from '../support/path.js';

let path: Path;
beforeAll(async () => {
  path = await openPath({ sliceMs: 2_000 });
});
afterAll(() => path.close());

it.each(['json', 'packed'] as const)(
  'a row that is refused is set aside alone, also where columns were renamed since it was sent: %s',
  async (format) => {
    const name = `refused_${format}`;
    await path.source.query(`create table ${name} (id int primary key, day date, v text);
      insert into ${name} select g, '2024-01-01', 'v' || g from generate_series(1, 5) g`);
    const table = await path.add(name, { format });
    await table.copy();
    await table.settle();
    await path.source.query(`insert into ${name} values (6, 'infinity', 'bad'), (7, '2024-01-07', 'good')`);
    await table.publish();
    await path.source.query(`alter table ${name} rename id to number; alter table ${name} rename v to id;
      alter table ${name} rename day to v; insert into ${name} values (8, '2024-01-08', 'good'), (9, 'infinity', 'bad')`);
    await table.settle();
    expect(await table.sink('select number, v, id from {current} where number > 5 order by number')).toBe(
      '7\t2024-01-07\tgood\n8\t2024-01-08\tgood',
    );
    const open = await path.ledger.query<{ key: string }>(
      `select key from pg2click.quarantine where state = 'open' and table_id = $1 order by key`,
      [table.receipt.id],
    );
    expect(open.rows.map(({ key }) => key)).toEqual(['["6"]', '["9"]']);
    await path.source.query(`update ${name} set v = '2024-02-02' where number in (6, 9)`);
    expect(await table.expectEqual()).toBe(9);
  },
);
