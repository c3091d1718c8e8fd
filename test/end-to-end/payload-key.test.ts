import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** Messages with keys alone: what was changed, deleted, moved to another key or truncated is read when it is loaded. */
describe('a table with --payload key', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  it('ends as the source is, through updates, deletes, inserts again, other keys and TRUNCATE', async () => {
    const table = freshName('keyed');
    await path.source.query(`create table ${table} (id int primary key, v text, n numeric(20,4));
      insert into ${table} select i, 'copied', i / 7.0 from generate_series(1, 50) i`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    expect(await keyed.expectEqual()).toBe(50);

    await path.source.query(`update ${table} set v = 'tab	, back\\slash, "quote", €' where id % 2 = 0;
      delete from ${table} where id % 5 = 0; insert into ${table} values (5, 'again', null);
      update ${table} set id = id + 1000 where id between 30 and 40;
      insert into ${table} select i, repeat('x', i), i from generate_series(2000, 2100) i`);
    await keyed.publish();
    // Between message and reading: what is sent under the older versions is newer than they are.
    await path.source.query(`delete from ${table} where id between 2000 and 2010; insert into ${table} values (2005, 'back', 1);
      update ${table} set v = 'newest' where id = 2020`);
    await keyed.load();
    expect(await keyed.expectEqual()).toBe(131);

    await path.source.query(`update ${table} set v = 'before truncate'`);
    await keyed.publish();
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 'after', 1), (2, 'after', 2)`);
    await keyed.load();
    expect(await keyed.expectEqual()).toBe(2);
    await path.source.query(`truncate ${table}`);
    expect(await keyed.expectEqual()).toBe(0);
  });
});
