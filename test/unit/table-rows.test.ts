import { describe, expect, it } from 'vitest';
import { PendingChanges } from '../../src/source/wal/pending-changes.js';
import type { Relation } from '../../src/source/wal/pgoutput.js';
import { HandOver } from '../../src/source/wal/rows/hand-over.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';
import type { RowPlan } from '../../src/source/wal/rows/row-plan.js';
import { TableRows } from '../../src/source/wal/rows/table-rows.js';
import { NULL, TEXT, Tuple, UNCHANGED } from '../../src/source/wal/tuple.js';

const ID = '7';
const COLUMN = { name: 'id', position: 1, type: 23, modifier: -1 };
const VALUE = { name: 'v', position: 2, type: 1043, modifier: 14 };
const FORM = { json: 'escaped', outside: undefined, isPadded: false, takesNull: false, absent: '' } as const;
const PLAN: RowPlan = {
  columns: [
    { ...FORM, name: 'id', key: 0, catalog: COLUMN },
    { ...FORM, name: 'v', key: -1, catalog: VALUE },
  ],
  generation: 1,
  shape: 1,
};
const RELATION: Relation = {
  oid: 1,
  identity: 'd',
  columns: [
    { ...COLUMN, isIdentity: true },
    { ...VALUE, isIdentity: false },
  ],
};

type Value = string | typeof NULL | typeof UNCHANGED;

/** A message with one row. */
function rowOf(...values: readonly Value[]): [Buffer, Tuple] {
  const parts = values.flatMap((value) =>
    typeof value === 'string' ? [TEXT, 0, 0, 0, value.length, ...Buffer.from(value)] : [value],
  );
  const message = Buffer.from([0, values.length, ...parts]);
  const tuple = new Tuple();
  tuple.read(message, 0);
  return [message, tuple];
}

/** Describes the table, and takes rows from the commit 100 on. */
function open(relation = RELATION): { handOvers: HandOvers; rows: TableRows; pending: PendingChanges } {
  const handOvers = new HandOvers();
  const rows = new TableRows(ID, relation, handOvers);
  handOvers.attach(new HandOver(ID, PLAN, 100n, { until: 150n, relation: handOvers.relationOf(ID) }));
  return { handOvers, rows, pending: new PendingChanges() };
}

function isTaken({ rows, pending }: ReturnType<typeof open>, commit: bigint, ...values: readonly Value[]): boolean {
  const [message, tuple] = rowOf(...values);
  return rows.add(pending, commit, message, undefined, tuple) > 0;
}

describe('a row of the stream is taken', () => {
  it('of a transaction that commits behind the end of the WAL at which the catalogue was compared', () => {
    expect(isTaken(open(), 99n, '1', 'a')).toBe(false);
    expect(isTaken(open(), 100n, '1', 'a')).toBe(true);
  });

  it('until the table is described again, also where it looks the same', () => {
    const opened = open();
    expect(isTaken(opened, 100n, '1', 'a')).toBe(true);
    const again = new TableRows(ID, RELATION, opened.handOvers);
    expect(isTaken({ ...opened, rows: again }, 200n, '1', 'a')).toBe(false);
  });

  it('of a transaction that committed before the catalogue was compared, however it is described', () => {
    const opened = open();
    const again = new TableRows(ID, RELATION, opened.handOvers);
    expect(isTaken({ ...opened, rows: again }, 149n, '1', 'a')).toBe(true);
    expect(isTaken({ ...opened, rows: again }, 150n, '1', 'a')).toBe(false);
    opened.handOvers.of(ID)?.renew({ until: 150n, relation: opened.handOvers.relationOf(ID) });
    expect(isTaken({ ...opened, rows: again }, 150n, '1', 'a')).toBe(true);
  });

  it('until another connection reads', () => {
    const opened = open();
    opened.handOvers.restart();
    expect(opened.handOvers.relationOf(ID)).toBe(0);
    const again = new TableRows(ID, RELATION, opened.handOvers);
    expect(isTaken({ ...opened, rows: again }, 150n, '1', 'a')).toBe(false);
  });

  it('of at most a megabyte', () => {
    const [message, tuple] = rowOf('1', 'a');
    tuple.to += 1_048_577;
    const { rows, pending } = open();
    expect(rows.add(pending, 100n, message, undefined, tuple)).toBe(0);
  });

  it('where all of it is there', () => {
    expect(isTaken(open(), 100n, '1', UNCHANGED)).toBe(false);
    expect(isTaken(open(), 100n, '1', NULL)).toBe(false);
  });

  it.each([
    ['a column has another type', { ...VALUE, type: 25 }],
    ['a column has another modifier', { ...VALUE, modifier: 20 }],
    ['a column has another name', { ...VALUE, name: 'w' }],
  ])('but not where %s', (_, column) => {
    const columns = [
      { ...COLUMN, isIdentity: true },
      { ...column, isIdentity: false },
    ];
    expect(isTaken(open({ ...RELATION, columns }), 100n, '1', 'a')).toBe(false);
  });

  it('while somebody takes it', () => {
    const opened = open();
    const handOver = opened.handOvers.of(ID);
    handOver?.[Symbol.dispose]();
    expect(isTaken(opened, 100n, '1', 'a')).toBe(false);
  });

  it('as a tombstone and a row where its key changed, and as a row where only the old one was sent too', () => {
    const opened = open();
    const old = Buffer.from([0, 2, TEXT, 0, 0, 0, 1, 0x31, NULL, 0, 2, TEXT, 0, 0, 0, 1, 0x32, TEXT, 0, 0, 0, 1, 0x61]);
    const [before, now] = [new Tuple(), new Tuple()];
    now.read(old, before.read(old, 0));
    opened.rows.add(opened.pending, 100n, old, before, now);
    const same = Buffer.from(old);
    same[16] = 0x31;
    now.read(same, before.read(same, 0));
    opened.rows.add(opened.pending, 100n, same, before, now);
    const [batch] = opened.pending.rows.values();
    expect([0, 1, 2].map((row) => batch?.isTombstone(row))).toEqual([true, false, false]);
    expect(batch?.rows).toBe(3);
  });
});
