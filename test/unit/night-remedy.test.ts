import { describe, expect, it } from 'vitest';
import { stepsOf, type Step } from '../../dev/night/remedy.js';
import { FAILURE_KINDS, policyOf } from '../../src/failure/kinds.js';

/** What the attendant of a night does, for what failures say. */
const follow = (remedy: string): readonly string[] =>
  stepsOf(remedy, { table: 'public.orders', name: 'orders_again', again: ['--capture', 'poll'] }).map(textOf);

function textOf(step: Step): string {
  return 'sql' in step ? `SQL ${step.sql}` : step.pg2click.join(' ');
}

describe('a remedy is followed to the letter:', () => {
  it.each([
    [
      'Run pg2click remove public.orders --drop-target, then pg2click add public.orders --target d.orders --key id --capture poll: it is copied again.',
      ['remove public.orders --drop-target', 'add public.orders --target d.orders --key id --capture poll'],
    ],
    [
      'Run pg2click remove public.orders, then pg2click add public.orders --target NAME --capture wal --engine log: its log goes on there, with all rows as they are then.',
      ['remove public.orders', 'add public.orders --target orders_again --capture wal --engine log'],
    ],
    [
      'Run in PostgreSQL: alter table public.orders set logged. Then run pg2click remove public.orders, then pg2click add public.orders: it is copied again.',
      ['SQL alter table public.orders set logged', 'remove public.orders', 'add public.orders'],
    ],
    ['Alter it. Then run pg2click resume public.orders.', ['resume public.orders']],
    ['Grant the user what is missing, then resume the table.', ['resume public.orders']],
    ['Run pg2click resume TABLE. Or run pg2click remove TABLE.', ['resume public.orders']],
    [
      'The ledger is older than what was confirmed: remove the table and add it again.',
      ['remove public.orders', 'add public.orders --capture poll'],
    ],
  ])('%s', (remedy, steps) => {
    expect(follow(remedy)).toEqual(steps);
  });

  it('every kind that parks says something that can be done', () => {
    for (const kind of FAILURE_KINDS.filter((each) => policyOf(each).treatment === 'parked'))
      expect(follow(policyOf(kind).remedy).join(), kind).toMatch(/^(?:resume|remove) public\.orders/u);
  });
});
