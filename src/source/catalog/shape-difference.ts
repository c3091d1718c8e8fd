import { holds } from '../../domain/clickhouse-type.js';
import { flawOfNewName } from '../../domain/column-name.js';
import { columnType, placeOf } from '../../domain/column-type.js';
import { physicalName, type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { physicalNames, type ShapeClass } from '../../domain/shape.js';
import { rowOf } from '../../domain/types/rows.js';
import { numericModifier } from './catalog.js';
import type { Fingerprint } from './fingerprint.js';
import { isAnyRewritten, isTouched } from './fingerprint-difference.js';

/** A column as the catalogue has it now. */
export interface FoundColumn extends Column {
  /** Its old rows have values, not all of them the same, without having been written: those of a virtual column. */
  readonly computed?: boolean;
  /** Its old rows have one value, which has no exact place in ClickHouse: which values have none, in words. */
  readonly placeless?: string;
}

type LookedAt = Pick<Fingerprint, 'file' | 'partitions' | 'columns' | 'labels'>;

/** The columns of a table before and now, and what PostgreSQL has noted about its rows. */
export interface ShapeLook {
  readonly table: Pick<ReplicatedTable, 'columns' | 'shapes' | 'key'>;
  readonly columns: readonly FoundColumn[];
  readonly before: LookedAt;
  readonly after: LookedAt;
}

/** What became of the columns. */
export interface ShapeDifference {
  /** With the names in ClickHouse that they have from now on. */
  readonly columns: readonly Column[];
  readonly key: readonly string[];
  readonly class: ShapeClass;
  /** Clauses, for people; none where nothing happened. */
  readonly changes: readonly string[];
  /** Clauses: what of it cannot be followed. */
  readonly refused: readonly string[];
}

/** What one column, or the type of one, has to say. */
interface Verdict {
  readonly what: string;
  readonly class: ShapeClass | 'refused';
}

/**
 * Compares columns by their attribute numbers. PostgreSQL does not say whether it has changed values: ALTER TYPE .. USING leaves what a
 * plain ALTER TYPE leaves. So wherever it wrote the table again while a column was changed, the rows are read again.
 */
export function shapeDifference(look: ShapeLook): ShapeDifference {
  const { table } = look;
  const verdicts: Verdict[] = [];
  const columns: Column[] = [];
  const taken = new Set(physicalNames(table));
  for (const found of look.columns) {
    const { computed: _, placeless, ...is } = found;
    const was = table.columns.find(({ position }) => position === is.position);
    // With these choices the table can be added again.
    const named = flawOfShown(look, is) === undefined ? {} : { shown: `${is.name}_${is.position}` };
    if (was === undefined) {
      verdicts.push(judgeAdded(look, found));
      columns.push(placed({ ...is, ...named, ...(placeless === undefined ? {} : { policy: 'text' }) }, taken));
    } else {
      verdicts.push(...judgeKept(look, was, is));
      columns.push({ ...kept(was, is), ...named });
    }
  }
  for (const was of table.columns)
    if (!look.columns.some(({ position }) => position === was.position))
      verdicts.push({ what: `${titleOf(table, was)} was dropped`, class: isKey(table, was) ? 'refused' : 'follow' });
  for (const [oid, label] of Object.entries(look.before.labels)) {
    const now = look.after.labels[oid];
    if (now !== undefined && now !== label)
      verdicts.push({ what: `the enum label ${label} was renamed to ${now}`, class: 'copy' });
  }
  return {
    columns,
    key: table.key.map((name) => newName(table.columns, columns, name)),
    class: verdicts.some((verdict) => verdict.class === 'copy') ? 'copy' : 'follow',
    changes: verdicts.map(({ what }) => what),
    refused: verdicts.filter((verdict) => verdict.class === 'refused').map(({ what }) => what),
  };
}

/** The name that a column has by now; its old one where it is gone. */
export function newName(before: readonly Column[], now: readonly Column[], name: string): string {
  const position = before.find((column) => column.name === name)?.position;
  return now.find((column) => column.position === position)?.name ?? name;
}

function judgeAdded(look: ShapeLook, column: FoundColumn): Verdict {
  const { before, after } = look;
  const what = `the column ${column.name} was added`;
  const flaw = flawOfShown(look, column);
  if (flaw !== undefined) return { what: `${what}: ${flaw}`, class: 'refused' };
  if (column.placeless !== undefined)
    return { what: `${what}: its default has no exact place in ClickHouse (${column.placeless})`, class: 'refused' };
  if (column.missing !== undefined) return { what, class: 'follow' };
  // A default that is computed for each row, an identity or a stored expression had the table written again, and no trigger fired.
  const isWritten = column.computed === true || isRewritten(before, after);
  return { what, class: isWritten ? 'copy' : 'follow' };
}

function judgeKept(look: ShapeLook, was: Column, is: Column): Verdict[] {
  const { table } = look;
  const title = titleOf(table, was);
  const verdicts: Verdict[] = [];
  if (was.name !== is.name) {
    const what = `${title} was renamed to ${is.name}`;
    const flaw = flawOfShown(look, is);
    verdicts.push(flaw === undefined ? { what, class: 'follow' } : { what: `${what}: ${flaw}`, class: 'refused' });
  }
  if (typeText(was) !== typeText(is)) verdicts.push(judgeType(look, was, is));
  else if (isWritten(look, is)) {
    const what = `the values of ${title} may have been written again`;
    verdicts.push({ what, class: isKey(table, was) ? 'refused' : 'copy' });
  }
  // Values are sent and compared by their bytes, but keys are looked up in an index.
  if (isKey(table, was) && collationOf(look.before, is) !== collationOf(look.after, is))
    verdicts.push({ what: `the collation of ${title} was changed`, class: 'refused' });
  if (is.nullable && !was.nullable)
    verdicts.push({ what: `${title} may be NULL now`, class: isKey(table, was) ? 'refused' : 'follow' });
  return verdicts;
}

function judgeType(look: ShapeLook, was: Column, is: Column): Verdict {
  const { table } = look;
  const what = `${titleOf(table, was)} was changed from ${typeText(was)} to ${typeText(is)}`;
  const [before = '', after = ''] = [was, chosenFor(was, is)].map((column) =>
    columnType(column).clickhouse({ ...column, nullable: true }),
  );
  if (!holds(after, before)) return { what, class: 'refused' };
  const isReprinted = isWritten(look, is) || !isPrintedAlike(was, is);
  if (!isKey(table, was)) return { what, class: isReprinted ? 'copy' : 'follow' };
  // ClickHouse keeps what it orders by as it is.
  return { what, class: before !== after || isReprinted ? 'refused' : 'follow' };
}

const TEXTS: readonly string[] = ['text', 'character varying'];

/** PostgreSQL need not write a `cidr` again that becomes an `inet`, but prints it without its mask then. */
function isPrintedAlike(was: Column, is: Column): boolean {
  return was.type === is.type || (TEXTS.includes(was.type) && TEXTS.includes(is.type));
}

/** Whether PostgreSQL may have changed values of the column: it wrote the table again, and changed the column meanwhile, or its expression. */
function isWritten({ before, after }: ShapeLook, { position }: Column): boolean {
  const [was, is] = [before.columns[position], after.columns[position]];
  if (was === undefined || is === undefined) return true;
  return was.generated !== is.generated || (isRewritten(before, after) && isTouched(was, is));
}

/** The column as it is, with what the user chose for it: `add` refuses a ClickHouse type that its values do not fit in any more. */
function chosenFor({ clickhouse, policy, codec }: Column, is: Column): Column {
  return {
    ...is,
    ...(clickhouse === undefined || placeOf(rowOf(is), { ...is, clickhouse }) === undefined ? {} : { clickhouse }),
    ...(policy === undefined ? {} : { policy }),
    ...(codec === undefined ? {} : { codec }),
  };
}

function isRewritten(before: LookedAt, after: LookedAt): boolean {
  return before.file !== after.file || isAnyRewritten(before, after);
}

function collationOf({ columns }: ShapeLook['before'], { position }: Column): string | undefined {
  return columns[position]?.collation;
}

/** A NOT NULL that was set changes nothing: the column in ClickHouse goes on taking NULL. */
function kept(was: Column, is: Column): Column {
  const { shown, physical, missing } = was;
  const place = physicalName(was);
  const column = { ...chosenFor(was, is), nullable: is.nullable || was.nullable };
  return {
    ...column,
    ...(shown === undefined ? {} : { shown }),
    ...(physical !== undefined || place !== (shown ?? is.name) ? { physical: place } : {}),
    ...(missing === undefined ? {} : { missing }),
  };
}

/** A name in ClickHouse is given once: one that a dropped column had is not free. */
function placed(column: Column, taken: Set<string>): Column {
  let physical = column.name;
  for (let tries = 0; taken.has(physical) || flawOfNewName(physical, taken) !== undefined; tries += 1)
    physical = `${column.name}_${column.position}${'_'.repeat(tries)}`;
  taken.add(physical);
  return physical === column.name ? column : { ...column, physical };
}

/** Why a column cannot have its new name in ClickHouse. One that the user chose a name for keeps that. */
function flawOfShown({ table, columns }: ShapeLook, column: Column): string | undefined {
  const before = (position: number): Column | undefined => table.columns.find((each) => each.position === position);
  const was = before(column.position);
  if (was?.shown !== undefined || was?.name === column.name) return undefined;
  const others = columns.filter(({ position }) => position !== column.position);
  const shown = new Map(others.map((other) => [before(other.position)?.shown ?? other.name, other.name]));
  const owner = shown.get(column.name);
  return owner === undefined
    ? flawOfNewName(column.name, new Set(shown.keys()))
    : `column ${owner} has that name in ClickHouse`;
}

function isKey({ key }: Pick<ReplicatedTable, 'key'>, { name }: Column): boolean {
  return key.includes(name);
}

function titleOf(table: Pick<ReplicatedTable, 'key'>, column: Column): string {
  return `the ${isKey(table, column) ? 'key ' : ''}column ${column.name}`;
}

function typeText(column: Column): string {
  const { type, precision, scale } = column;
  return numericModifier(column) === undefined ? type : `${type}(${precision},${scale})`;
}
