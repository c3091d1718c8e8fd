import { asLedgerFailure } from '../failure/classify-postgres.js';
import { Failure, type FailureDetail } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import { walRoleScript } from '../package-root.js';
import type { Settings } from '../settings/settings.js';
import { explainTlsTo } from './tls.js';
import { explainNetworkError, nameSettings as nameEach } from './unreachable.js';
import type { SettingName } from '../settings/table.js';

export const CONNECT_TIMEOUT_MS = 10_000;

/** The settings to look at: all that is said of a ledger elsewhere is one URL, and of a standby one address. */
function nameSettings(settings: Settings, names: readonly SettingName[]): string {
  const { setting, address } = settings.postgres;
  if (setting !== undefined) return nameEach(settings, [setting]);
  return nameEach(settings, address !== undefined && names.includes('PG_HOST') ? [address] : names);
}

type Told = Pick<FailureDetail, 'message' | 'remedy'> & { readonly kind: FailureKind };

/** SQLSTATE of a refused session -> what it means for the settings. */
const REFUSALS: Readonly<Record<string, (server: string, settings: Settings) => Told>> = {
  // invalid_password
  '28P01': (server, settings) => ({
    kind: 'LoginRefused',
    message: `${server} does not let the role "${settings.postgres.user}" in with this password.`,
    remedy: `Check ${nameSettings(settings, ['PG_USER', 'PG_PASSWORD'])}.`,
  }),
  // invalid_authorization_specification: no such role, or pg_hba.conf does not let it in
  '28000': (server, settings) => ({
    kind: 'LoginRefused',
    message: `${server} does not let the role "${settings.postgres.user}" in.`,
    remedy: `Check ${nameSettings(settings, ['PG_USER'])}, and pg_hba.conf of the server${settings.postgres.tls === undefined ? `; if it wants TLS, set ${settings.postgres.setting === undefined ? 'PG_SSLMODE=verify-full' : 'sslmode=verify-full in its URL'}` : ''}.`,
  }),
  // invalid_catalog_name
  '3D000': (server, settings) => ({
    kind: 'Misconfigured',
    message: `${server} has no database "${settings.postgres.database}".`,
    remedy: `Create it, or correct ${nameSettings(settings, ['PG_DB'])}.`,
  }),
  // insufficient_privilege: no CONNECT
  '42501': (server, settings) => ({
    kind: 'Unauthorized',
    message: `The role "${settings.postgres.user}" may not connect to the database "${settings.postgres.database}" of ${server}.`,
    remedy: `Grant CONNECT, or correct ${nameSettings(settings, ['PG_USER', 'PG_DB'])}.`,
  }),
  // too_many_connections
  '53300': (server, settings) => ({
    kind: 'SourceUnavailable',
    message: `${server} has no connection left for the role "${settings.postgres.user}".`,
    remedy: 'Raise max_connections, or close other sessions.',
  }),
  // protocol_violation: a parameter of the start-up that PgBouncer does not know
  '08P01': (server, settings) => ({
    kind: 'Misconfigured',
    message: `${server} does not take the settings of our sessions: a pooler stands there, as PgBouncer.`,
    remedy: `Connect to PostgreSQL itself, which needs the values and locks of a session: correct ${nameSettings(settings, ['PG_HOST', 'PG_PORT'])}.`,
  }),
  // cannot_connect_now
  '57P03': (server) => ({
    kind: 'SourceUnavailable',
    message: `${server} is starting up or shutting down.`,
    remedy: 'Try again in a moment.',
  }),
};

/** The same where the session is to read the WAL. It is opened after another one of the same role, so that may connect. */
const REPLICATION_REFUSALS: typeof REFUSALS = {
  '42501': (server, settings) => ({
    kind: 'Unauthorized',
    message: `The role "${settings.postgres.user}" may not read the WAL of ${server}: it takes the attribute REPLICATION.`,
    remedy: `Let an administrator run ${walRoleScript}, then resume.`,
  }),
  // too_many_connections: max_wal_senders too
  '53300': (server, settings) => ({
    kind: 'SourceUnavailable',
    message: `${server} has no connection left for the role "${settings.postgres.user}" to read the WAL.`,
    remedy: 'Raise max_wal_senders, or max_connections, and restart PostgreSQL; or close other sessions.',
  }),
};

/** What was seen while a session was being opened. */
export interface PostgresAttempt {
  /** It is to read the WAL. */
  readonly replication: boolean;
  readonly elapsedMs: number;
  /** The server asked for a password. */
  readonly passwordAsked: boolean;
}

/** Why no session could be opened, from the SQLSTATE or the errno; never by the server's text. */
export function explainPostgresConnect(error: unknown, settings: Settings, attempt: PostgresAttempt): Failure {
  if (error instanceof Failure) return error;
  const { kind, message, remedy } = explain(error, settings, attempt);
  const failure = new Failure(kind, { message, remedy, cause: error });
  const isLedger = settings.postgres.setting !== undefined;
  return isLedger ? asLedgerFailure(failure) : failure;
}

/** The driver has no code for a server that answers "no" to the question for TLS, only this text of its own. */
function isRefusalOfTls(error: unknown): boolean {
  return error instanceof Error && error.message === 'The server does not support SSL connections';
}

/** What other servers without TLS look like. */
const REFUSED_TLS = { code: 'ERR_SSL_WRONG_VERSION_NUMBER' };

function explain(error: unknown, settings: Settings, attempt: PostgresAttempt): Told {
  const { elapsedMs, passwordAsked } = attempt;
  const { host, port, user, password } = settings.postgres;
  const server = `PostgreSQL at ${host}:${port}`;
  const address = nameSettings(settings, ['PG_HOST', 'PG_PORT']);
  const kind = 'SourceUnavailable';
  const tls = explainTlsTo(
    settings.postgres.setting === undefined ? 'postgres' : 'ledger',
    isRefusalOfTls(error) ? REFUSED_TLS : error,
    settings,
  );
  if (tls !== undefined) return { kind, message: `${server} ${tls.sentence}.`, remedy: tls.remedy };
  const network = explainNetworkError(error);
  if (network !== undefined)
    return { kind, message: `${server} ${network}.`, remedy: `Check that PostgreSQL runs there, and ${address}.` };
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code !== undefined) {
    const refusal = (attempt.replication ? REPLICATION_REFUSALS[code] : undefined) ?? REFUSALS[code];
    const told = refusal?.(server, settings);
    return told ?? { kind, message: `${server} refused a session (${code}).`, remedy: `Look at its log.` };
  }
  if (elapsedMs >= CONNECT_TIMEOUT_MS - 500) {
    const message = `${server} did not answer within ${CONNECT_TIMEOUT_MS / 1_000} s.`;
    return { kind, message, remedy: `Check that PostgreSQL runs there, the firewalls, and ${address}.` };
  }
  // The driver itself gives up, without a code, when it has no password to give.
  if (passwordAsked && password.reveal() === '') {
    const name = settings.postgres.setting === undefined ? 'PG_PASSWORD' : 'LEDGER_PG_PASSWORD';
    return {
      kind: 'LoginRefused',
      message: `${server} asks for a password of the role "${user}", and none is set.`,
      remedy: `Set ${name}, or ${name}_FILE.`,
    };
  }
  const message = `${server} closed the connection while it was being opened; is it PostgreSQL?`;
  return { kind, message, remedy: `Check ${address}.` };
}
