import { byPosition } from '../../../domain/column-type.js';
import { shownName, type ReplicatedTable } from '../../../domain/replicated-table.js';
import type { Relation } from '../pgoutput.js';
import { NULL, TEXT, type Tuple } from '../tuple.js';
import { formOf, isInside, type ValueForm } from './value-form.js';

/** A column as the catalogue has it. */
export interface CatalogColumn {
  readonly name: string;
  /** `attnum`. */
  readonly position: number;
  /** Oid. */
  readonly type: number;
  readonly modifier: number;
}

export interface PlannedColumn extends ValueForm {
  /** In messages. */
  readonly name: string;
  /** In the key, from 0; -1 for others. */
  readonly key: number;
  readonly catalog: CatalogColumn;
}

/** How the rows of a table are written from the stream, by a catalogue that was compared with what is replicated. */
export interface RowPlan {
  /** By position, as in the target. */
  readonly columns: readonly PlannedColumn[];
  readonly generation: number;
  readonly shape: number;
}

/**
 * @param catalog all columns that the table has
 * @returns undefined for a table whose rows only PostgreSQL can make of the stream: with a row filter, or a column that has no form
 */
export function planRows(table: ReplicatedTable, catalog: readonly CatalogColumn[]): RowPlan | undefined {
  if (table.where !== undefined) return undefined;
  const columns = byPosition(table.columns).map((column): PlannedColumn | undefined => {
    const form = formOf(column);
    const found = catalog.find(({ position }) => position === column.position);
    if (form === undefined || found === undefined) return undefined;
    return { ...form, name: shownName(column), key: table.key.indexOf(column.name), catalog: found };
  });
  const planned = columns.filter((column) => column !== undefined);
  if (planned.length < columns.length) return undefined;
  return { columns: planned, generation: table.generation, shape: table.shape };
}

/** Where the columns of a plan are in the tuples of a relation. */
export class RowPlaces {
  readonly #plan: RowPlan;
  /** By column of the plan. */
  readonly places: Int32Array;
  /** Places of the key, in key order. */
  readonly keys: readonly number[];

  private constructor(plan: RowPlan, places: readonly number[]) {
    this.#plan = plan;
    this.places = Int32Array.from(places);
    const keys: number[] = [];
    plan.columns.forEach(({ key }, index) => {
      if (key >= 0) keys[key] = places[index] ?? 0;
    });
    this.keys = keys;
  }

  /** @returns undefined where the stream describes another table than the plan does, or would not send the old key where that changed */
  static find(plan: RowPlan, { columns }: Relation): RowPlaces | undefined {
    const places = plan.columns.map(({ key, catalog: { name, type, modifier } }) =>
      columns.findIndex(
        (column) =>
          column.name === name &&
          column.type === type &&
          column.modifier === modifier &&
          (key < 0 || column.isIdentity),
      ),
    );
    return places.includes(-1) ? undefined : new RowPlaces(plan, places);
  }

  /** Whether the row is here as a whole, and each of its values has a place. */
  isWhole(message: Buffer, { kinds, starts, ends }: Tuple): boolean {
    const { columns } = this.#plan;
    for (let index = 0; index < columns.length; index++) {
      const place = this.places[index] ?? 0;
      const column = columns[index];
      if (column === undefined) return false;
      if (kinds[place] === NULL) {
        if (!column.takesNull) return false;
      } else if (kinds[place] !== TEXT) return false;
      else if (column.outside !== undefined && !isInside(column.outside, message, starts[place] ?? 0, ends[place] ?? 0))
        return false;
    }
    return true;
  }

  /** Whether the key is here as a whole. Its values have a place, as those of every key. */
  hasKey(message: Buffer, tuple: Tuple): boolean {
    const { columns } = this.#plan;
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index];
      if (column === undefined || column.key < 0) continue;
      const place = this.places[index] ?? 0;
      if (place >= tuple.count || tuple.kinds[place] !== TEXT) return false;
      const [start, end] = [tuple.starts[place] ?? 0, tuple.ends[place] ?? 0];
      if (column.outside !== undefined && !isInside(column.outside, message, start, end)) return false;
    }
    return true;
  }

  /** Whether two tuples of one message have the same key. */
  isSameKey(message: Buffer, a: Tuple, b: Tuple): boolean {
    for (const place of this.keys) {
      const [start, end] = [a.starts[place] ?? 0, a.ends[place] ?? 0];
      const other = b.starts[place] ?? 0;
      if (end - start !== (b.ends[place] ?? 0) - other) return false;
      for (let at = 0; at < end - start; at++) if (message[start + at] !== message[other + at]) return false;
    }
    return true;
  }
}
