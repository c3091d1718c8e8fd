import type { TargetTable } from '../src/domain/replicated-table.js';
import type { InsertValues } from '../src/clickhouse/clickhouse-writer.js';
import { QuarantineWriter, type StreamedRows } from '../src/clickhouse/quarantine/quarantine-writer.js';
import { targetEngine } from '../src/clickhouse/target-engines.js';
import type { BatchWriter } from '../src/pipeline/batch.js';
import type { StageContext } from '../src/pipeline/stage.js';
import type { Deps } from './deps.js';

/** The writer of a stage, around which rows that ClickHouse refuses are set aside. */
export function quarantining<Content extends InsertValues | StreamedRows>(
  deps: Deps,
  { claim }: Pick<StageContext, 'claim'>,
  table: TargetTable,
  writer: BatchWriter<Content>,
): BatchWriter<Content> {
  const services = { clickhouse: deps.sink(table).clickhouse, ledger: deps.ledger };
  const { versions } = targetEngine(table);
  return new QuarantineWriter(writer, services, {
    table,
    claim,
    versions,
    limits: deps.settings.worker.quarantine,
    log: deps.log,
  });
}
