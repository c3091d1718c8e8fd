import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import type { Engine } from '../domain/route.js';
import type { StageClaim } from '../ledger/stages.js';
import type { BatchWriter } from '../pipeline/batch.js';
import type { RetryPolicy } from '../pipeline/retry.js';
import type { RowStream } from '../pipeline/row-batch.js';
import type { SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import type { ClickHouseServices } from './clickhouse-writer.js';
import type { Target, TargetRole } from './names.js';
import type { TargetOwner } from './target.js';

/** What a writer of streams works under. */
export interface StreamWriterOptions {
  /** The right to the stage: a writer whose claim is over inserts nothing any more. */
  readonly claim: StageClaim;
  readonly retry: RetryPolicy;
  readonly throttle?: SmallBatchThrottle;
}

/** A kind of target table: how it is made, checked and written. */
export interface TargetEngine {
  readonly kind: Engine;
  /** Whether its rows have a version and a mark of deletion: see `StreamContent.versions`. */
  readonly versions: boolean;
  /** Its objects, in the order in which they are made. */
  readonly roles: readonly TargetRole[];
  /**
   * Looks whether the target can be made, and makes nothing.
   * @throws Failure `UnsuitableTable`, `TargetTaken`, `SchemaMismatch`, and those of ClickHouse
   */
  check(clickhouse: ClickHouseClient, table: TargetOwner): Promise<void>;
  /** Makes the target, or checks the one that exists. Idempotent. @throws Failure as `check` */
  create(clickhouse: ClickHouseClient, table: TargetOwner): Promise<void>;
  /** The generation that the target has seen: a table that is added again starts above it. 0 when nothing is there. */
  highestGeneration(clickhouse: ClickHouseClient, target: Target): Promise<number>;
  /** Writes rows that come straight from PostgreSQL. */
  streamWriter(services: ClickHouseServices, table: TargetTable, options: StreamWriterOptions): BatchWriter<RowStream>;
}
