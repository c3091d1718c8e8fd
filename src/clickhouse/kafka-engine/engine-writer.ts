import type { BatchName } from '../../domain/batch.js';
import type { Checkpoint } from '../../domain/receipt.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import type { BatchWriter, Written } from '../../pipeline/batch.js';
import { SINK_RETRY } from '../../pipeline/retry.js';
import { ClickHouseWriter, type ClickHouseServices } from '../clickhouse-writer.js';
import { deleteBelowFloor } from '../floor.js';

/** A batch that the engine has loaded already. */
export interface EngineBatch {
  readonly messages: number;
}

/** Writes nothing: the engine has. It verifies the target as every writer does, and keeps a part of it as the proof. */
export class EngineWriter implements BatchWriter<EngineBatch> {
  readonly retry = SINK_RETRY;
  readonly #services: ClickHouseServices;
  readonly #table: TargetTable;
  readonly #verifier: ClickHouseWriter;

  constructor(services: ClickHouseServices, table: TargetTable) {
    this.#services = services;
    this.#table = table;
    this.#verifier = new ClickHouseWriter(services, table, { retry: SINK_RETRY });
  }

  async verify(checkpoint: Checkpoint, proof: unknown): Promise<unknown> {
    const seen = await this.#verifier.verify(checkpoint, proof);
    // A mark that the engine loaded hides rows, and nobody else deletes them.
    await deleteBelowFloor(this.#services.clickhouse, this.#table);
    return seen;
  }

  async write(_name: BatchName, { messages }: EngineBatch): Promise<Written> {
    const { newest } = await this.#services.parts.inspect(this.#table.target, this.#table.generation);
    return { rows: messages, bytes: 0, proof: newest };
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }
}
