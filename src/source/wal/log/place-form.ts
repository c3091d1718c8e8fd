import { byPosition } from '../../../domain/column-type.js';
import type { Column, ReplicatedTable } from '../../../domain/replicated-table.js';
import { changedBy } from '../../catalog/row-schema.js';
import type { ReadTable } from '../../outbox/drain-transaction.js';
import type { Form } from './forms.js';
import type { PlacedForm } from './log-sql.js';

/**
 * Which attribute each column of a form is. The WAL has names alone, so the form is that of the shape of the table that has the same names
 * in the same order. A form of no shape was there between two looks at the catalogue: what its columns became is not known.
 * @param leftOut names that excluded columns have now @throws Failure `SourceChanged`
 */
export function placeForm(table: ReadTable, { form, names, places }: Form, leftOut: readonly string[]): PlacedForm {
  const left = new Set([...leftOut, ...(table.excluded?.map(({ name }) => name) ?? [])]);
  const sent = names.flatMap((name, index) => (left.has(name) ? [] : [{ name, place: places[index] ?? 0 }]));
  const shape = shapesOf(table).find((columns) => hasNames(columns, sent));
  if (shape === undefined)
    throw changedBy(
      [`it had the columns ${names.join(', ')} for a while, and they were changed again before that was noticed`],
      { ...table, key: table.key },
      'was changed',
    );
  return { form, places: new Map(shape.map(({ position }, index) => [position, sent[index]?.place ?? 0])) };
}

/** The newest first. */
function shapesOf({ columns, shapes = [] }: Pick<ReplicatedTable, 'columns' | 'shapes'>): readonly Column[][] {
  return [columns, ...shapes.map((shape) => shape.columns).toReversed()].map(byPosition);
}

function hasNames(columns: readonly Column[], sent: readonly { readonly name: string }[]): boolean {
  return columns.length === sent.length && columns.every(({ name }, index) => name === sent[index]?.name);
}

/**
 * Why a log cannot follow new columns, as a clause: in the WAL a column that was dropped and added again under its name looks like the one
 * of before.
 */
export function ambiguousColumns(
  { columns: before, shapes = [] }: Pick<ReplicatedTable, 'columns' | 'shapes'>,
  columns: readonly Column[],
): string | undefined {
  const text = (of: readonly Column[]): string => JSON.stringify(byPosition(of).map(({ name }) => name));
  const places = (of: readonly Column[]): string =>
    byPosition(of)
      .map(({ position }) => position)
      .join();
  const isAmbiguous = [...shapes.map((shape) => shape.columns), before].some(
    (known) => text(known) === text(columns) && places(known) !== places(columns),
  );
  return isAmbiguous ? 'a column was dropped and another one has its name: in the WAL they are the same' : undefined;
}
