import type { ClickHouseClient } from '@clickhouse/client';
import { connectClickHouse } from '../connect/clickhouse.js';
import type { LoaderSpec } from '../domain/route.js';
import { Failure } from '../failure/failure.js';
import { urlNameOf } from '../settings/clickhouse-name.js';
import type { Settings } from '../settings/settings.js';
import { PartTracker } from './part-tracker.js';

/** A ClickHouse server as loaders use it. */
export interface Sink {
  readonly clickhouse: ClickHouseClient;
  readonly parts: PartTracker;
  /** Of targets that are named without one. */
  readonly database: string;
}

/** The other ClickHouse servers of the settings, each connected when a loader first needs it. */
export class OtherSinks {
  readonly #settings: Pick<Settings, 'clickhouses'>;
  readonly #open = new Map<string, Sink>();

  constructor(settings: Pick<Settings, 'clickhouses'>) {
    this.#settings = settings;
  }

  /** @throws Failure `WrongWorker` for a server that the settings of this worker do not name */
  named(connection: NonNullable<LoaderSpec['connection']>): Sink {
    const known = this.#open.get(connection);
    if (known !== undefined) return known;
    const server = this.#settings.clickhouses[connection];
    if (server === undefined)
      throw new Failure('WrongWorker', {
        message: `A loader writes to the ClickHouse server "${connection}", and this worker has no ${urlNameOf(connection)}.`,
        remedy: `Set ${urlNameOf(connection)} for every worker, and restart it. The loader goes on by itself.`,
      });
    const clickhouse = connectClickHouse({ clickhouse: server });
    const sink = { clickhouse, parts: new PartTracker(clickhouse), database: server.database };
    this.#open.set(connection, sink);
    return sink;
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open.values()].map(({ clickhouse }) => clickhouse.close()));
  }
}
