import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';

/** A way to load a topic into a target table. */
export interface Loader {
  readonly kind: string;
  /**
   * Makes the target, or checks the one that exists. Idempotent.
   * @throws Failure `UnsuitableTable`, `TargetTaken`, `SchemaMismatch`, and those of ClickHouse
   */
  prepare(clickhouse: ClickHouseClient, table: TargetTable): Promise<void>;
}
