import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTable } from '../../activities/prepare-table.js';
import type { Failure } from '../../src/failure/failure.js';
import { attempt } from '../support/activity.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

describe('a ledger in another database, restored to before a table was added', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ ledgerElsewhere: true });
  });
  afterAll(() => path.close());

  const restore = (): Promise<unknown> =>
    path.ledger.query(`delete from pg2click.replicated_table; delete from pg2click.history;
      select setval(pg_get_serial_sequence('pg2click.replicated_table', 'id'), 1, false)`);
  const refusalOf = (table: string): Promise<Failure> => {
    const request = { pipeline: path.settings.pipeline, schema: 'public', table, options: {} };
    return attempt(() => prepareTable(path.deps, request)).result.then(
      () => expect.unreachable('it was prepared'),
      (error: unknown) => error as Failure,
    );
  };

  it.each(['another', 'the same'])('takes no outbox of that table when %s is added', async (which) => {
    await restore();
    const [x, other] = [freshName('x'), freshName('y')];
    const y = which === 'another' ? other : x;
    await path.source.query(`create table ${x} (id int primary key, v int);
      create table ${other} (other int primary key, v int); insert into ${other} values (1, 1)`);
    const { receipt, ...forgotten } = await path.add(x);
    await forgotten.copy();
    await path.source.query(`insert into ${x} values (1, 1)`);
    await forgotten.settle();
    await restore();

    const refusal = await refusalOf(y);
    expect(refusal).toMatchObject({ kind: 'LedgerSetBack' });
    expect(refusal.message).toContain(`outbox_${receipt.id}`);
    expect(refusal.message).toContain(`public.${x}`);
    await path.source.query(`insert into ${x} values (2, 2); update ${x} set v = 9; delete from ${x} where id = 1`);
    expect((await refusalOf(y)).kind, 'resumed without the remedy').toBe('LedgerSetBack');

    await path.source.query(/: (drop .*); then add the table/u.exec(refusal.remedy ?? '')?.[1] ?? '');
    const followed = await path.add(y);
    expect(followed.receipt.id).toBe(receipt.id);
    await followed.copy();
    await path.source.query(`insert into ${x} values (3, 3); update ${y} set v = 5`);
    await followed.expectEqual();
    await followed.remove(true);
  });
});
