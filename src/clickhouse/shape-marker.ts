import type { ClickHouseClient } from '@clickhouse/client';
import type { Shape } from '../domain/shape.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { FIRST_SHAPE, laterShapes } from '../domain/shape.js';
import { select } from './catalog.js';
import { targetNames, type Target } from './names.js';

type Numbered = Pick<Shape, 'shape' | 'generation'>;

/**
 * The name of the constraint that a target gets with a shape. A statement that adds it twice fails as a whole: an ALTER that another
 * attempt has made, or that arrives late, changes nothing. Markers stay: without one of them an old ALTER would pass.
 */
export function shapeMarker({ generation, shape }: Numbered): string {
  return `pg2click_shape_${generation}_${shape}`;
}

const MARKER = /\bCONSTRAINT `?pg2click_shape_(\d+)_(\d+)`? ASSUME\b/gu;

/** The shapes that a target has been altered to. */
export async function readMarkers(ch: ClickHouseClient, target: Target): Promise<readonly Numbered[]> {
  const query = /* sql */ `select create_table_query as created from system.tables
    where database = {database:String} and name = {table:String}`;
  const { database, table } = target;
  const what = `reading the constraints of ${targetNames(target).shown}`;
  const [found] = await select<{ created: string }>(ch, query, { database, table }, what);
  return [...(found?.created ?? '').matchAll(MARKER)].map(([, generation, shape]) => ({
    generation: Number(generation),
    shape: Number(shape),
  }));
}

export function isNewer(one: Numbered, other: Numbered): boolean {
  return one.generation === other.generation ? one.shape > other.shape : one.generation > other.generation;
}

/** The newest shape that the ledger knew; that of the generation where the columns never changed. */
export function newestShape({
  generation = 0,
  ...table
}: Partial<Pick<TargetTable, 'generation' | 'shapes'>>): Numbered {
  return laterShapes(table).at(-1) ?? { generation, shape: FIRST_SHAPE };
}
