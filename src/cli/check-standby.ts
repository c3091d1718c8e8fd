import { connectPostgres, walSettings } from '../connect/postgres.js';
import { Failure } from '../failure/failure.js';
import { identifySystem, requireSameHistory, requireStandby, requireVersion } from '../source/wal/slot-server.js';
import type { ServerCheck } from './check-servers.js';
import { wayOf } from './check-postgres.js';
import type { Session } from './session.js';

/** The server that the WAL is read from, where that is another one than that of the tables. */
export async function checkStandby({ settings, signal }: Session): Promise<Pick<ServerCheck, 'told'>> {
  const there = walSettings(settings);
  await using source = await connectPostgres(settings, { name: 'init', signal });
  await using slots = await connectPostgres(there, { name: 'init', signal, replication: true });
  const places = { source, slots };
  await requireVersion(slots);
  await requireStandby(places);
  await requireSameHistory(places, await identifySystem(slots));
  const found = await slots.query<{ version: string; feedback: string; standby: boolean }>(
    /* sql */ `select current_setting('server_version') as version, current_setting('hot_standby_feedback') as feedback, pg_catalog.pg_is_in_recovery() as standby`,
  );
  const { version = '?', feedback = 'off', standby = false } = found.rows[0] ?? {};
  // It was promoted, and is the server of the tables: it sends no feedback to itself.
  if (!standby) return { told: `version ${version}, no standby: it is the server of PG_HOST, take PG_WAL_ADDRESS out` };
  if (feedback !== 'on')
    throw new Failure('Misconfigured', {
      message: `The standby of PG_WAL_ADDRESS has hot_standby_feedback = ${feedback}: the primary would vacuum away what decoding needs, and the slot be lost.`,
      remedy: 'Run there: alter system set hot_standby_feedback = on; select pg_reload_conf().',
    });
  return { told: `version ${version}, ${wayOf(there.postgres.tls)}, the WAL is read there` };
}
