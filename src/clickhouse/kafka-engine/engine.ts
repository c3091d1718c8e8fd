import type { ClickHouseClient } from '@clickhouse/client';
import { Failure } from '../../failure/failure.js';
import type { ConsumerOffsets, LoaderServices } from '../loader.js';
import { countErrors, lastException, waitUntilQuiet } from './consumers.js';
import { createConsumer, dropConsumer, makeEngine, type EngineOwner } from './objects.js';
import type { EngineSpec } from './table-sql.js';

export type EngineServices = Pick<LoaderServices, 'clickhouse' | 'groups'>;

/** ClickHouse's own reading of a topic, as a thing that can be started, stopped and looked at. */
export class Engine {
  readonly title = "ClickHouse's Kafka engine";
  readonly #services: EngineServices;
  readonly #spec: EngineSpec;

  constructor(services: EngineServices, spec: EngineSpec) {
    this.#services = services;
    this.#spec = spec;
  }

  /** All but the consumer: nothing is read yet. @throws Failure `TargetTaken`, `Misconfigured`, and those of ClickHouse */
  async make(): Promise<void> {
    await makeEngine(this.#services.clickhouse, this.#spec);
  }

  /**
   * Lets the engine read, unless it does. Before it begins, its group gets the offsets that it lacks, or that lie behind these: a
   * group without offsets would read the topic from its beginning, or not what came meanwhile.
   * @param from where reading stands, by partition
   * @param requireClaim throws where another attempt has taken over: then the consumer must not stay
   * @returns whether it had to be started
   */
  async start(from: ConsumerOffsets, requireClaim: () => Promise<void>): Promise<boolean> {
    const { clickhouse } = this.#services;
    if (await makeEngine(clickhouse, this.#spec)) return false;
    await this.#seed(from);
    await requireClaim();
    await createConsumer(clickhouse, this.#spec);
    try {
      await requireClaim();
    } catch (error) {
      // This attempt was frozen between the two statements. If a newer one wants the engine to read, it starts it again.
      if (error instanceof Failure && error.kind === 'Fenced') await this.stop();
      throw error;
    }
    return true;
  }

  /** When it returns, nothing is inserted any more. Idempotent. @throws Failure `SinkUnavailable` where a block in hand takes too long */
  stop(): Promise<boolean> {
    return stopEngine(this.#services.clickhouse, this.#spec.table);
  }

  /** The next offsets to read, where the group has any. */
  committed(): Promise<ConsumerOffsets> {
    const { topic, group } = this.#spec;
    return this.#services.groups.committed(group, topic, this.#spec.partitions);
  }

  errors(): Promise<number> {
    return countErrors(this.#services.clickhouse, this.#spec.table.target);
  }

  lastException(): Promise<string | undefined> {
    return lastException(this.#services.clickhouse, this.#spec.table.target);
  }

  async #seed(from: ConsumerOffsets): Promise<void> {
    const { groups } = this.#services;
    const { topic, group } = this.#spec;
    const isBehind = ([partition, offset]: [string, string], known: ConsumerOffsets): boolean =>
      BigInt(known[partition] ?? -1) < BigInt(offset);
    const committed = await this.committed();
    const lacking = Object.entries(from).filter((each) => isBehind(each, committed));
    if (lacking.length === 0) return;
    await groups.commit(group, topic, Object.fromEntries(lacking));
    const after = await this.committed();
    if (lacking.some((each) => isBehind(each, after)))
      throw new Failure('BrokerUnavailable', {
        message: `Kafka did not keep the offsets that consumer group ${group} begins at.`,
      });
  }
}

/** @returns whether it was reading */
export async function stopEngine(clickhouse: ClickHouseClient, owner: EngineOwner): Promise<boolean> {
  const wasReading = await dropConsumer(clickhouse, owner);
  if (!(await waitUntilQuiet(clickhouse, owner.target)))
    throw new Failure('SinkUnavailable', {
      message: `The Kafka engine of ${owner.target.database}.${owner.target.table} was told to stop, and still inserts.`,
    });
  return wasReading;
}
