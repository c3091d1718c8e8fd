import { literal } from '../../domain/identifier.js';
import type { TriggerLevel } from '../../domain/replicated-table.js';
import type { CaptureKey } from './capture-key.js';
import { outboxTable } from './names.js';

/** What the functions of one table have to know. */
export interface Capture {
  readonly id: string;
  /** Oid of the table, decimal. */
  readonly relation: string;
  readonly shape: number;
  readonly level: TriggerLevel;
  /** A partitioned table: its functions run on its partitions, whose columns may have other numbers. */
  readonly isTree: boolean;
  readonly key: CaptureKey;
}

/** A statement that writes a mark: `t` or `x`, as in `outboxTableSql`. */
export function markSql(capture: Capture, mark: 't' | 'x'): string {
  return `${insertInto(capture, ['mark'])} ${values(capture, [`'${mark}'`])}`;
}

/** What a function does in turn: see `captureBody`. */
export interface Branches {
  /** Returns by itself. */
  readonly typed: string;
  readonly unknown: string;
  /** @param names the variables that hold the names of the key columns, for the arguments of `format` */
  readonly loose: (names: string) => string;
}

/** The body of a function that knows the key by its typed way, else by the names that its columns have now. */
export function looseBody(capture: Capture, { typed, unknown, loose }: Branches): string {
  const { columns } = capture.key;
  const names = columns.map((_, index) => `v_name${index + 1}`);
  const relation = capture.isTree ? capture.relation : 'tg_relid';
  return /* sql */ `declare
    v_style text;
    ${names.map((name) => `${name} text;`).join(' ')}
  begin
    ${typed}
    ${columns.map(({ position }, index) => `${names[index] ?? ''} := (pg_identify_object_as_address(1259, ${relation}, ${position})).object_names[3];`).join('\n    ')}
    if ${columns.map(({ position }, index) => `${names[index] ?? ''} is null or ${names[index] ?? ''} = '........pg.dropped.${position}........'`).join(' or ')} then
      ${unknown}
      return null;
    end if;
    v_style := current_setting('datestyle');
    perform set_config('datestyle', 'ISO', true);
    ${loose(names.join(', '))}
    perform set_config('datestyle', v_style, true);
    return null;
  end`;
}

/** Whether the key columns have the names and types of the day on which the function was made; undefined where they had not then. */
export function typedGuard({ relation, isTree, key: { columns, index } }: Capture): string | undefined {
  if (index === null) return undefined;
  const names = columns.map(
    ({ quoted }, at) => `pg_get_indexdef(${index.oid}, ${index.places[at] ?? 0}, false) = ${literal(quoted)}`,
  );
  return [...(isTree ? [] : [`tg_relid = ${relation}`]), ...names].join(' and ');
}

/** The key of a row as text images, for `format`. */
export function looseImages({ key }: Capture, row: string): string[] {
  const values = key.columns.map((_, index) => {
    const value = `${row}.%${index + 1}$I`;
    return `case when ${value} is not null then concat(${value}) collate "C" end`;
  });
  return [`array[${values.join(', ')}]`];
}

export function insertInto({ id, key }: Capture, targets: readonly string[]): string {
  return `insert into ${outboxTable(id)} (${[...targets, ...(key.hasLoose ? ['shape'] : [])].join(', ')})`;
}

export function values({ shape, key }: Capture, expressions: readonly string[]): string {
  return `select ${[...expressions, ...(key.hasLoose ? [String(shape)] : [])].join(', ')}`;
}
