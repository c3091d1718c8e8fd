import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LOG_OPERATIONS } from '../../src/domain/log-columns.js';
import type { Column } from '../../src/domain/replicated-table.js';
import type { Shape } from '../../src/domain/shape.js';
import { ChangeCollector } from '../../src/source/wal/change-collector.js';
import { ChangeCount, LogRelation, type WrittenPart } from '../../src/source/wal/log/log-changes.js';
import { OPERATION_LETTERS } from '../../src/source/wal/log/log-table-sql.js';
import { ambiguousColumns, placeForm } from '../../src/source/wal/log/place-form.js';
import { headOf, widenXid } from '../../src/source/wal/log/transaction.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';
import { PgOutput } from '../../src/source/wal/pgoutput.js';

/** See `wal-keys.test.ts`: `whole` (id, v; identity full) is inserted, updated and deleted, each in a transaction of its own. */
const RECORDED = readFileSync('test/fixtures/pgoutput.txt', 'utf8').trim().split('\n');
const WHOLE = 51_632;
const FORM = { form: 1, names: ['id', 'v'], types: ['23', '25'], places: [1, 2] };

async function linesOf(written: WrittenPart = { commit: 0n, changes: 0 }): Promise<readonly string[]> {
  const log = new LogRelation('whole', { form: FORM, key: [0], skipped: new Set() }, new ChangeCount(written));
  const collector = new ChangeCollector({
    position: 0n,
    xid: 5n << 32n,
    find: ({ oid }) => Promise.resolve(oid === WHOLE ? { id: 'whole', columns: 1, places: [0], log } : undefined),
    handOvers: new HandOvers(),
    onCommit: () => undefined,
    onKeys: () => undefined,
  });
  const output = new PgOutput(collector);
  for (const message of RECORDED) await output.take(Buffer.from(message, 'hex'), 0);
  const { logs } = collector.take();
  return (logs.get(log)?.text.toString() ?? '').split('\n').slice(0, -1);
}

describe('the changes of a recorded stream', () => {
  it('are lines with operation, position, time, transaction, form and values', async () => {
    const lines = (await linesOf()).map((line) => line.split('\t'));
    expect(lines.map(([mark, operation]) => `${mark}${operation}`)).toEqual(['\\Ni', '\\Nu', '\\Nd']);
    for (const [, , lsn, time, xid, form, id] of lines) {
      expect(lsn).toMatch(/^0\/C7/u);
      expect(new Date(time ?? '').getUTCFullYear()).toBe(2026);
      expect(BigInt(xid ?? '') >> 32n).toBe(5n);
      expect([form, id]).toEqual(['1', '1']);
    }
  });

  it('are left out where they are written already', async () => {
    const [first = '', ...others] = await linesOf();
    const [high = '', low = ''] = (first.split('\t')[2] ?? '').split('/');
    const commit = (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
    expect(await linesOf({ commit, changes: 1 })).toEqual(others);
  });
});

it('a transaction id of 32 bits is the one that is nearest', () => {
  const near = (3n << 32n) + 10n;
  expect(widenXid(12, near)).toBe((3n << 32n) + 12n);
  expect(widenXid(0xffff_fff0, near)).toBe((2n << 32n) + 0xffff_fff0n);
  expect(widenXid(5, (3n << 32n) - 5n)).toBe((3n << 32n) + 5n);
});

it('a commit is said as PostgreSQL reads it, to the microsecond', () => {
  expect(headOf({ commit: 0x1_0000_00ffn, xid: 7n, at: 849_398_400_000_001n }).toString()).toBe(
    '1/FF\t2026-12-01T00:00:00.000001Z\t7',
  );
});

it('each operation has a letter', () => {
  expect(OPERATION_LETTERS).toHaveLength(LOG_OPERATIONS.length);
});

describe('the columns of a change', () => {
  const columns = (...names: readonly (readonly [string, number])[]): Column[] =>
    names.map(([name, position]) => ({ name, position, type: 'text', nullable: true }));
  const shape = (number: number, of: readonly Column[]): Shape =>
    ({ shape: number, generation: 1, columns: of, class: 'follow', change: '', notedAt: '' }) as Shape;
  const before = columns(['id', 1], ['a', 2], ['b', 3]);
  const now = columns(['id', 1], ['c', 2], ['d', 4]);
  const table = {
    id: '1',
    name: { schema: 's', table: 't' },
    relation: '1',
    generation: 1,
    shape: 2,
    key: ['id'],
    columns: now,
    shapes: [shape(1, before), shape(2, now)],
    excluded: [{ name: 'left', position: 9 }],
  };
  const form = (...names: string[]) => ({ form: 1, names, types: [], places: names.map((_, index) => index + 1) });

  it('are those of the shape that has their names, without those that are left out', () => {
    expect([...placeForm(table, form('id', 'a', 'b', 'left'), []).places]).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect([...placeForm(table, form('id', 'left2', 'c', 'd'), ['left2']).places]).toEqual([
      [1, 1],
      [2, 3],
      [4, 4],
    ]);
  });

  it('are unknown where no shape has them', () => {
    expect(() => placeForm(table, form('id', 'b', 'a'), [])).toThrow(/had the columns id, b, a for a while/u);
  });

  it('are not followed where a name goes to another column at the same place', () => {
    expect(ambiguousColumns(table, columns(['id', 1], ['a', 2], ['b', 7]))).toMatch(/in the WAL they are the same/u);
    expect(ambiguousColumns(table, columns(['id', 1], ['a', 2], ['b', 3], ['e', 8]))).toBeUndefined();
  });
});
