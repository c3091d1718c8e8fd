import type { Path } from './path.js';

/** A row of the quarantine, as a test looks at it. */
export interface Kept {
  readonly stage: string;
  readonly key: string | null;
  readonly version: string | null;
  readonly column: string | null;
  readonly code: number;
  readonly origin: Record<string, unknown>;
  readonly raw: string | null;
  readonly state: string;
}

/** The rows of a table in the quarantine, in the order in which they came. @param state only those */
export async function keptRows({ ledger }: Path, table: string, state?: string): Promise<readonly Kept[]> {
  const found = await ledger.query<Kept>(
    /* sql */ `select q.stage, q.key, q.version::text, q.column_name as "column", q.code, q.origin, q.state,
        convert_from(q.raw, 'utf8') as raw
      from pg2click.quarantine q join pg2click.replicated_table t on t.id = q.table_id
      where t.table_name = $1 and ($2::text is null or q.state = $2) order by q.id`,
    [table, state ?? null],
  );
  return found.rows;
}

/** Keys of one column, as numbers. */
export async function keptKeys(path: Path, table: string, state = 'open'): Promise<readonly number[]> {
  const kept = await keptRows(path, table, state);
  return kept.map(({ key }) => Number((JSON.parse(key ?? '[]') as string[])[0])).toSorted((a, b) => a - b);
}
