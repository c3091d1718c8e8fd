import { physicalName, type Column, type ReplicatedTable } from './replicated-table.js';

/**
 * What a change of the source asks for. `follow`: no row that is in ClickHouse needs another value, but for what a DEFAULT gives it. `copy`:
 * the table is read again, because PostgreSQL has written rows, or may have, and its triggers did not fire.
 */
export const SHAPE_CLASSES = ['follow', 'copy'] as const;
export type ShapeClass = (typeof SHAPE_CLASSES)[number];

/** The columns that a table is added with. */
export const FIRST_SHAPE = 1;

/** One form of the columns of a table. */
export interface Shape {
  /** From `FIRST_SHAPE`. */
  readonly shape: number;
  /** Of the table when the shape was noted. Together with the number it never means another shape, also when the table is added again. */
  readonly generation: number;
  readonly columns: readonly Column[];
  readonly class: ShapeClass;
  /** What was changed, for people, as a clause; empty for the first one. */
  readonly change: string;
  /** ISO 8601. */
  readonly notedAt: string;
}

/** A change of the columns as receipts and displays have it. */
export type ShapeChange = Pick<Shape, 'shape' | 'class' | 'change' | 'notedAt'>;

type ShapedTable = Pick<ReplicatedTable, 'shape' | 'columns'> & Partial<Pick<ReplicatedTable, 'shapes'>>;

/** @returns undefined for a number that the table has not reached */
export function columnsOfShape(table: ShapedTable, shape: number): readonly Column[] | undefined {
  if (shape === table.shape) return table.columns;
  return table.shapes?.find((each) => each.shape === shape)?.columns;
}

/** Names in ClickHouse that are taken: those of the columns, and of columns that were dropped. */
export function physicalNames({ columns, shapes = [] }: Pick<ShapedTable, 'columns' | 'shapes'>): ReadonlySet<string> {
  return new Set([...columns, ...shapes.flatMap((each) => each.columns)].map(physicalName));
}

/** Shapes after the first one, in their order. */
export function laterShapes({ shapes = [] }: Pick<ShapedTable, 'shapes'>): readonly Shape[] {
  return shapes.filter(({ shape }) => shape > FIRST_SHAPE);
}
