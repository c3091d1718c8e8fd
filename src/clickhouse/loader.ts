import type { ClickHouseClient } from '@clickhouse/client';
import type { RemoveReceipt } from '../domain/receipt.js';
import type { TargetTable } from '../domain/replicated-table.js';
import type { KafkaTransport } from '../domain/route.js';
import type { Settings } from '../settings/settings.js';

/** By partition: the next offset to be read, decimal. */
export type ConsumerOffsets = Readonly<Record<string, string>>;

/** Offsets of Kafka's consumer groups. */
export interface ConsumerGroups {
  /** @returns only the partitions for which the group has an offset */
  committed(group: string, topic: string, partitions: number): Promise<ConsumerOffsets>;
  /** For a group without members. */
  commit(group: string, topic: string, offsets: ConsumerOffsets): Promise<void>;
}

/** What loaders need of the worker. */
export interface LoaderServices {
  readonly clickhouse: ClickHouseClient;
  readonly groups: ConsumerGroups;
  readonly settings: Pick<Settings, 'kafka' | 'registry'>;
}

/** A loader of one table: where it reads, where that is a topic. */
export interface LoaderPlace {
  /** Its name. */
  readonly loader: string;
  readonly transport: KafkaTransport | undefined;
}

export interface RemoveLoaderOptions {
  /** Throws where the target belongs to somebody else by now. */
  readonly before: () => Promise<void>;
  /** What it keeps for people goes too. */
  readonly dropTarget: boolean;
}

/** A way to load a topic into a target table. */
export interface Loader {
  readonly kind: string;
  /**
   * Makes the target, or checks the one that exists, and what the loader itself needs; nothing is loaded yet. Idempotent.
   * @throws Failure `UnsuitableTable`, `TargetTaken`, `SchemaMismatch`, and those of ClickHouse
   */
  prepare(services: LoaderServices, table: TargetTable, place: LoaderPlace): Promise<void>;
  /** Ends what loads by itself: nothing is inserted any more when it returns. Idempotent. Absent: nothing loads without a slice. */
  stop?(services: LoaderServices, table: TargetTable): Promise<void>;
  /** Takes away what `prepare` made beside the target. Idempotent. Absent: there is nothing. */
  remove?(services: LoaderServices, table: TargetTable, options: RemoveLoaderOptions): Promise<RemoveReceipt>;
}
