import { setTimeout as pause } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import { connectClickHouse, explainClickHouseConnect } from '../connect/clickhouse.js';
import { probeKafka } from '../connect/kafka.js';
import { withTimeout } from '../connect/with-timeout.js';
import { ledgerSettings } from '../connect/postgres.js';
import { explainTemporalConnect } from '../connect/temporal.js';
import { asLedgerFailure } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import type { Log } from '../observe/log.js';
import type { Meters } from '../observe/meters.js';
import { hasKafkaTable } from '../ledger/tables.js';
import type { Settings } from '../settings/settings.js';
import { PublicationWatch } from './publication-watch.js';
import { PostgresProbe } from './postgres-probe.js';

/** `ledger` only where it lies in another database than the tables. */
export type ServerName = 'postgresql' | 'ledger' | 'kafka' | 'clickhouse' | 'temporal';

export type Probes = Readonly<Partial<Record<ServerName, Probe>>>;

/** As people write them, and the failure that is theirs when they do not answer. */
const NAMES: Readonly<Record<ServerName, readonly [string, FailureKind]>> = {
  postgresql: ['PostgreSQL', 'SourceUnavailable'],
  ledger: ['The PostgreSQL of the ledger', 'LedgerUnavailable'],
  kafka: ['Kafka', 'BrokerUnavailable'],
  clickhouse: ['ClickHouse', 'SinkUnavailable'],
  temporal: ['Temporal', 'TemporalUnavailable'],
};

function silent(server: ServerName, ms: number): Failure {
  const [name, kind] = NAMES[server];
  return new Failure(kind, { message: `${name} did not answer within ${ms / 1_000} s.` });
}

/** Rejects with a Failure while its server does not answer. */
export interface Probe {
  /** Whether anything needs the server now; absent: always. @throws where nobody can tell */
  isNeeded?(): Promise<boolean>;
  probe(): Promise<void>;
  close(): Promise<void>;
}

export interface ServerState {
  readonly server: ServerName;
  /** Seconds since it last answered; null before it ever did. */
  readonly answeredAgo: number | null;
  /** What the last probe met; null where it was answered. */
  readonly problem: { readonly kind: FailureKind; readonly message: string } | null;
}

const EVERY_MS = 5_000;
/** A server that takes longer is not there for a slice either, which waits longer and says why. */
const ANSWER_MS = 4_000;
/** For a probe that does not end by itself. */
const PROBE_MS = 10_000;

/**
 * Probes each server every 5 s on connections of its own, so that no slice is waited for and none waits. A server that is lost, and
 * one that is back, is a line in the log.
 */
export class ServerWatch {
  readonly #meters: Meters;
  readonly #log: Log;
  /** Of the servers that are not always needed: what was known last. */
  readonly #needed = new Map<ServerName, boolean>();
  readonly #states = new Map<ServerName, { answeredAt: number | null; problem: ServerState['problem'] }>();

  constructor({ meters, log }: { readonly meters: Meters; readonly log: Log }) {
    this.#meters = meters;
    this.#log = log;
  }

  /** Probes until the signal is aborted, then closes the probes. */
  async watchUntil(probes: Probes, signal: AbortSignal): Promise<void> {
    await Promise.all(
      (Object.entries(probes) as [ServerName, Probe][]).map(async ([server, probe]) => {
        while (!signal.aborted) {
          await this.#probe(server, probe);
          await pause(EVERY_MS, undefined, { signal }).catch(() => undefined);
        }
        await probe.close();
      }),
    );
  }

  /** Of every server that was probed so far. */
  states(): readonly ServerState[] {
    const now = Date.now();
    return [...this.#states].map(([server, { answeredAt, problem }]) => ({
      server,
      answeredAgo: answeredAt === null ? null : (now - answeredAt) / 1_000,
      problem,
    }));
  }

  async #probe(server: ServerName, of: Probe): Promise<void> {
    if (!(await this.#isNeeded(server, of))) return this.#forget(server);
    const before = this.#states.get(server);
    const [name] = NAMES[server];
    try {
      await withTimeout(of.probe(), PROBE_MS, () => silent(server, PROBE_MS));
      this.#states.set(server, { answeredAt: Date.now(), problem: null });
      if (before !== undefined && before.problem !== null) this.#log.info({ server }, `${name} answers again`);
    } catch (error) {
      const problem = error instanceof Failure ? error : new Failure('Unexpected', { message: String(error) });
      this.#states.set(server, {
        answeredAt: before?.answeredAt ?? null,
        problem: { kind: problem.kind, message: problem.message },
      });
      if (before === undefined || before.problem === null)
        this.#log.warn(
          { server, kind: problem.kind, reason: problem.message },
          problem.kind === 'LoginRefused' ? `${name} refuses the user or the password` : `${name} does not answer`,
        );
    }
    const answered = this.#states.get(server)?.problem === null;
    this.#meters.set('pg2click_server_reachable', answered ? 1 : 0, { server });
  }

  async #isNeeded(server: ServerName, of: Probe): Promise<boolean> {
    if (of.isNeeded === undefined) return true;
    try {
      this.#needed.set(server, await withTimeout(of.isNeeded(), PROBE_MS, () => silent(server, PROBE_MS)));
    } catch {
      // Who could tell is away, and is reported itself.
    }
    return this.#needed.get(server) === true;
  }

  #forget(server: ServerName): void {
    if (this.#states.delete(server)) this.#meters.set('pg2click_server_reachable', Number.NaN, { server });
  }
}

/** The servers as this worker reaches them. `connection` is the worker's own: a second one could be well while it is not. */
export function openProbes(settings: Settings, connection: NativeConnection, log: Log): Probes {
  const publications = new PublicationWatch(log);
  const postgresql = new PostgresProbe(settings, ANSWER_MS, (ms) => silent('postgresql', ms));
  const ledger =
    settings.ledger === undefined
      ? undefined
      : new PostgresProbe(ledgerSettings(settings), ANSWER_MS, (ms) => silent('ledger', ms), asLedgerFailure);
  return {
    postgresql: {
      async probe() {
        await postgresql.probe();
        await postgresql.run((pg) => publications.look(pg));
      },
      close: () => postgresql.close(),
    },
    ...(ledger === undefined ? {} : { ledger }),
    kafka: {
      isNeeded: () => (ledger ?? postgresql).run((pg) => hasKafkaTable(pg, settings.pipeline)),
      probe: async () => void (await probeKafka(settings)),
      close: () => Promise.resolve(),
    },
    clickhouse: clickhouseProbe(settings),
    temporal: {
      async probe() {
        const { namespace } = settings.temporal;
        try {
          await connection.withDeadline(Date.now() + ANSWER_MS, () =>
            connection.workflowService.describeNamespace({ namespace }),
          );
        } catch (error) {
          throw explainTemporalConnect(error, settings, ANSWER_MS);
        }
      },
      close: () => Promise.resolve(),
    },
  };
}

function clickhouseProbe(settings: Settings): Probe {
  const client = connectClickHouse(settings, { requestTimeoutMs: ANSWER_MS, connections: 1 });
  return {
    async probe() {
      try {
        const answer = await client.query({ query: /* sql */ `select 1`, format: 'TabSeparated' });
        await answer.text();
      } catch (error) {
        throw explainClickHouseConnect(error, settings, ANSWER_MS);
      }
    },
    close: () => client.close(),
  };
}
