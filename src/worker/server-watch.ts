import { setTimeout as pause } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import { connectClickHouse, explainClickHouseConnect } from '../connect/clickhouse.js';
import { probeKafka } from '../connect/kafka.js';
import { connectPostgres, ledgerSettings, type PostgresClient } from '../connect/postgres.js';
import { explainTemporalConnect } from '../connect/temporal.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import type { Meters } from '../observe/meters.js';
import type { Settings } from '../settings/settings.js';

/** `ledger` only where it lies in another database than the tables. */
export type ServerName = 'postgresql' | 'ledger' | 'kafka' | 'clickhouse' | 'temporal';

export type Probes = Readonly<Partial<Record<ServerName, Probe>>>;

/** Rejects with a Failure while its server does not answer. */
export interface Probe {
  look(): Promise<void>;
  close(): Promise<void>;
}

export interface ServerState {
  readonly server: ServerName;
  /** Seconds since it last answered; null before it ever did. */
  readonly answeredAgo: number | null;
  /** What the last look met; null where it was answered. */
  readonly problem: { readonly kind: FailureKind; readonly message: string } | null;
}

const EVERY_MS = 5_000;
/** A server that takes longer is not there for a slice either, which waits longer and says why. */
const PATIENCE_MS = 4_000;
/** For a look that does not end by itself. */
const LONGEST_LOOK_MS = 10_000;

/** Looks at each server every 5 s on connections of its own, so that no slice is waited for and none waits. */
export class ServerWatch {
  readonly #meters: Meters;
  readonly #states = new Map<ServerName, { answeredAt: number | null; problem: ServerState['problem'] }>();

  constructor(meters: Meters) {
    this.#meters = meters;
  }

  /** Looks until the signal is aborted, then closes the probes. */
  async watchUntil(probes: Probes, signal: AbortSignal): Promise<void> {
    await Promise.all(
      (Object.entries(probes) as [ServerName, Probe][]).map(async ([server, probe]) => {
        while (!signal.aborted) {
          await this.#look(server, probe);
          await pause(EVERY_MS, undefined, { signal }).catch(() => undefined);
        }
        await probe.close();
      }),
    );
  }

  /** Of every server that was looked at so far. */
  states(): readonly ServerState[] {
    const now = Date.now();
    return [...this.#states].map(([server, { answeredAt, problem }]) => ({
      server,
      answeredAgo: answeredAt === null ? null : (now - answeredAt) / 1_000,
      problem,
    }));
  }

  async #look(server: ServerName, probe: Probe): Promise<void> {
    const before = this.#states.get(server)?.answeredAt ?? null;
    try {
      await withPatience(probe.look());
      this.#states.set(server, { answeredAt: Date.now(), problem: null });
    } catch (error) {
      const { kind, message } =
        error instanceof Failure
          ? error
          : ({ kind: 'Unexpected', message: `It did not answer within ${LONGEST_LOOK_MS / 1_000} s.` } as const);
      this.#states.set(server, { answeredAt: before, problem: { kind, message } });
    }
    const answered = this.#states.get(server)?.problem === null;
    this.#meters.set('pg2click_server_reachable', answered ? 1 : 0, { server });
  }
}

/** The servers as this worker reaches them. `connection` is the worker's own: a second one could be well while it is not. */
export function openProbes(settings: Settings, connection: NativeConnection): Probes {
  return {
    postgresql: postgresProbe(settings),
    ...(settings.ledger === undefined ? {} : { ledger: postgresProbe(ledgerSettings(settings)) }),
    kafka: { look: async () => void (await probeKafka(settings)), close: () => Promise.resolve() },
    clickhouse: clickhouseProbe(settings),
    temporal: {
      async look() {
        const { namespace } = settings.temporal;
        try {
          await connection.withDeadline(Date.now() + PATIENCE_MS, () =>
            connection.workflowService.describeNamespace({ namespace }),
          );
        } catch (error) {
          throw explainTemporalConnect(error, settings);
        }
      },
      close: () => Promise.resolve(),
    },
  };
}

/** One session, kept while it answers. */
function postgresProbe(settings: Settings): Probe {
  let session: { client: PostgresClient; end: AbortController } | undefined;
  const drop = (): void => {
    session?.end.abort();
    session = undefined;
  };
  return {
    async look() {
      const patience = setTimeout(drop, PATIENCE_MS);
      try {
        if (session === undefined) {
          const end = new AbortController();
          session = { client: await connectPostgres(settings, { name: 'watch', signal: end.signal }), end };
        }
        await session.client.query('select 1');
      } catch (error) {
        drop();
        throw error instanceof Failure ? error : classifyPostgres(error, 'looking whether PostgreSQL answers');
      } finally {
        clearTimeout(patience);
      }
    },
    close: async () => {
      await session?.client[Symbol.asyncDispose]();
    },
  };
}

function clickhouseProbe(settings: Settings): Probe {
  const client = connectClickHouse(settings, { requestTimeoutMs: PATIENCE_MS, connections: 1 });
  return {
    async look() {
      try {
        const answer = await client.query({ query: /* sql */ `select 1`, format: 'TabSeparated' });
        await answer.text();
      } catch (error) {
        throw explainClickHouseConnect(error, settings);
      }
    },
    close: () => client.close(),
  };
}

async function withPatience(look: Promise<void>): Promise<void> {
  const over = new AbortController();
  const limit = pause(LONGEST_LOOK_MS, undefined, { signal: over.signal, ref: false }).then(() => {
    throw new Error('no answer in time');
  });
  // Whichever loses the race may still reject.
  look.catch(() => undefined);
  limit.catch(() => undefined);
  try {
    await Promise.race([look, limit]);
  } finally {
    over.abort();
  }
}
