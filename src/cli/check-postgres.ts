import { connectPostgres, ledgerSettings, type PostgresClient } from '../connect/postgres.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { bindLedger, passIfHidden, requireOwnLedger } from '../ledger/binding.js';
import { migrateLedger, migrateSource, missingMigrations, readSourceMigrations } from '../ledger/migrate.js';
import { ledgerRoleScript, roleScript } from '../package-root.js';
import type { PostgresServer } from '../settings/postgres-server.js';
import type { Settings } from '../settings/settings.js';
import type { Tls } from '../settings/tls.js';
import { readDeployment } from '../source/deployment.js';
import { renewCaptures, type RenewedCaptures } from '../source/renew-captures.js';
import type { ServerCheck } from './check-servers.js';
import type { Session } from './session.js';

/** The oldest PostgreSQL whose features the outbox relies on. */
const OLDEST_POSTGRES = 140_000;
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * The database of the tables: with the ledger in it, or with what its outboxes need when the ledger lies elsewhere. A role that may
 * only read makes no outboxes; that is said, and refuses nothing here.
 */
export async function checkSource(
  { settings, signal }: Session,
  prepare: boolean,
): Promise<Pick<ServerCheck, 'told' | 'deployment' | 'outboxes'>> {
  const pg = await connectPostgres(settings, { name: 'init', signal });
  try {
    const version = await requireServer(pg, settings);
    const about = `version ${version}, ${wayOf(settings.postgres.tls)}`;
    if (settings.ledger === undefined) {
      await requireOwnLedger(pg).catch(passIfHidden);
      const ledger = prepare ? describeMigration('ledger', await migrateLedger(pg)) : await requireLedger(pg);
      const captures = prepare
        ? describeRenewal(await renewCaptures({ source: pg, ledger: pg }, settings.pipeline))
        : '';
      const deployment = await readDeployment(pg, settings.pipeline);
      return { told: `${about}, ${ledger}${captures}, deployment ${deployment.id}`, deployment };
    }
    const { told, outboxes } = await prepareOutboxes(pg, prepare);
    const deployment = await readDeployment(pg, settings.pipeline);
    return { told: `${about}, ${told}, deployment ${deployment.id}`, deployment, outboxes };
  } catch (error) {
    throw explainPreparing(error, settings.postgres);
  } finally {
    await pg[Symbol.asyncDispose]();
  }
}

/** The database of the ledger, where it is another one. @throws Failure also where the two do not belong together */
export async function checkLedger(
  { settings, signal }: Session,
  { prepare, source }: { readonly prepare: boolean; readonly source: ServerCheck },
): Promise<Pick<ServerCheck, 'told'>> {
  const there = ledgerSettings(settings);
  const pg = await connectPostgres(there, { name: 'init', signal });
  try {
    const version = await requireServer(pg, there);
    const ledger = prepare ? describeMigration('ledger', await migrateLedger(pg)) : await requireLedger(pg);
    const about = `version ${version}, ${wayOf(there.postgres.tls)}, ${ledger}`;
    if (source.error !== undefined) return { told: `${about}, its source not checked` };
    const tables = await connectPostgres(settings, { name: 'init', signal });
    try {
      await bindLedger(pg, tables, { bind: prepare, outboxes: source.outboxes === true }).catch(passIfHidden);
    } finally {
      await tables[Symbol.asyncDispose]();
    }
    return { told: about };
  } catch (error) {
    throw explainPreparing(error, there.postgres);
  } finally {
    await pg[Symbol.asyncDispose]();
  }
}

/** Worth a look before rows go over the network. */
export function wayOf(tls: Tls | undefined): string {
  if (tls === undefined) return 'no TLS';
  return { full: 'TLS', authority: 'TLS, its name not verified', nothing: 'TLS, not verified' }[tls.verify];
}

/** @returns its version */
async function requireServer(pg: PostgresClient, { postgres }: Settings): Promise<string> {
  const found = await pg.query<{
    version: string;
    number: number;
    standby: boolean;
  }>(/* sql */ `select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
      pg_is_in_recovery() as standby`);
  const server = found.rows[0];
  const [where, setting] = [`PostgreSQL at ${postgres.host}:${postgres.port}`, postgres.setting ?? 'PG_HOST'];
  if (server === undefined || server.number < OLDEST_POSTGRES) {
    throw new Failure('Misconfigured', {
      message: `${where} is version ${server?.version ?? '?'}: 14 is the oldest that works.`,
      remedy: `Upgrade it, or name another server in ${setting}.`,
    });
  }
  if (server.standby) {
    throw new Failure('Misconfigured', {
      message: `${where} is a standby: triggers and the ledger need the primary.`,
      remedy: `Name the primary in ${setting}.`,
    });
  }
  return server.version;
}

async function prepareOutboxes(pg: PostgresClient, prepare: boolean): Promise<{ told: string; outboxes: boolean }> {
  try {
    if (prepare) return { told: describeMigration('outboxes', await migrateSource(pg)), outboxes: true };
    const { applied, missing } = await readSourceMigrations(pg);
    if (missing.length === 0) return { told: 'outboxes up to date', outboxes: true };
    if (applied === 0) return { told: 'no outbox can be made: "pg2click init" did not prepare it', outboxes: false };
    throw lacking('What this database has for its outboxes', missing);
  } catch (error) {
    if ((error as { code?: unknown }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    return { told: 'no outbox can be made: the role may not make the schema pg2click', outboxes: false };
  }
}

function describeMigration(what: string, applied: readonly string[]): string {
  return applied.length === 0 ? `${what} up to date` : `${what} made ready (${applied.join(', ')})`;
}

function describeRenewal({ renewed, failed }: RenewedCaptures): string {
  const done = renewed.length === 0 ? '' : `, triggers renewed of ${renewed.join(', ')}`;
  return failed.length === 0 ? done : `${done}, triggers not renewed of ${failed.join(', ')}`;
}

async function requireLedger(pg: PostgresClient): Promise<string> {
  const missing = await missingMigrations(pg).catch((error: unknown) => {
    // Roles of consumer workers that were made by an older script may not read it.
    if ((error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE) return undefined;
    throw error;
  });
  if (missing === undefined) return 'ledger not checked';
  if (missing.length === 0) return 'ledger up to date';
  throw lacking('The ledger in this PostgreSQL database', missing);
}

function lacking(what: string, missing: readonly string[]): Failure {
  return new Failure('Misconfigured', {
    message: `${what} is of another release: it lacks ${missing.join(', ')}.`,
    remedy: 'Stop the workers of the other release, run "pg2click init", then start this one.',
  });
}

function explainPreparing(error: unknown, { user, database, setting }: PostgresServer): Failure {
  if (error instanceof Failure) return error;
  if ((error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE) {
    const [script, usual] = setting === undefined ? [roleScript, 'pg2click'] : [ledgerRoleScript, 'pg2click_ledger'];
    return new Failure('Unauthorized', {
      message: `The role "${user}" may not make the ledger in the database "${database}": the schema pg2click is not its own.`,
      remedy: `Let an administrator run ${script} there${user === usual ? '' : `, with "${user}" as the role at its top`}.`,
      cause: error,
    });
  }
  return classifyPostgres(error, 'making the ledger ready');
}
