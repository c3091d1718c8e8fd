import type { ClientBase } from 'pg';
import type { Queryable } from '../connect/queryable.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { listTables } from '../ledger/tables.js';
import type { Registry } from '../pipeline/registry.js';
import type { Capture } from './capture.js';
import { CAPTURES } from './captures.js';

export interface RenewedCaptures {
  /** `schema.table` */
  readonly renewed: readonly string[];
  /** Those that could not be; draining tries again, and says why. */
  readonly failed: readonly string[];
}

/** Renews the captures of all tables of a pipeline, drained or not: a user's write must not fail while nobody drains. */
export async function renewCaptures(
  { source, ledger }: { readonly source: ClientBase; readonly ledger: Queryable },
  pipeline: string,
  captures: Registry<Capture> = CAPTURES,
): Promise<RenewedCaptures> {
  const renewed: string[] = [];
  const failed: string[] = [];
  for (const table of await listTables(ledger, pipeline)) {
    try {
      if (await captures.named(table.route.capture.kind).renew?.(source, ledger, table))
        renewed.push(formatTableName(table.name));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failed.push(formatTableName(table.name));
    }
  }
  return { renewed, failed };
}
