import { Failure, type FailingServer } from './failure.js';
import type { FailureKind } from './kinds.js';

/** Kinds that only one server is the reason for. Of the others, as of a right that is missing, who classified it knows. */
const BY_KIND: Partial<Record<FailureKind, FailingServer>> = {
  SourceUnavailable: 'postgresql',
  LockTimeout: 'postgresql',
  MissingTable: 'postgresql',
  SourceChanged: 'postgresql',
  OutboxInconsistent: 'postgresql',
  SourceSetBack: 'postgresql',
  LedgerUnavailable: 'ledger',
  LedgerSetBack: 'ledger',
  BrokerUnavailable: 'kafka',
  MessageTooLarge: 'kafka',
  OffsetGap: 'kafka',
  OffsetsExpired: 'kafka',
  TopicReplaced: 'kafka',
  PartitionsChanged: 'kafka',
  RegistryUnavailable: 'registry',
  SchemaRefused: 'registry',
  SinkUnavailable: 'clickhouse',
  SinkBusy: 'clickhouse',
  SchemaMismatch: 'clickhouse',
  RowRefused: 'clickhouse',
  SinkSetBack: 'clickhouse',
  TemporalUnavailable: 'temporal',
};

/** The server that a failure comes from; undefined where it is none, or nobody knows. */
export function failingServer(error: unknown): FailingServer | undefined {
  if (!(error instanceof Failure)) return undefined;
  return error.server ?? BY_KIND[error.kind];
}
