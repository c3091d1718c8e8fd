import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { probeClickHouse } from '../../src/connect/clickhouse.js';
import { probeKafka } from '../../src/connect/kafka.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import { connectTemporal } from '../../src/connect/temporal.js';
import { isEqual } from '../../dev/compare/compare.js';
import { makeAuthority, makeCertificate, type KeyPair } from '../../dev/stack/certificates.js';
import { readStackFile, startStack, type Stack } from '../../dev/stack/stack.js';
import { Failure } from '../../src/failure/failure.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { openHarness } from '../support/harness.js';
import { runCli, startCli } from '../support/cli.js';
import { environmentOf } from '../support/clients.js';
import { startGuardedKafka } from '../support/guarded-kafka.js';
import { openImpostor } from '../support/impostor.js';
import { newStateDir } from '../support/state-dir.js';
import { waitFor } from '../support/wait-for.js';
import { SERVER_NAMES, type ServerName } from '../../src/settings/server-name.js';

let stateDir: string;
let stack: Stack;
/** Settings of all four servers. */
let env: Record<string, string>;
/** Command lines that were seen while the stack started. */
let argumentsAtStart: ReadonlySet<string>;

beforeAll(async () => {
  stateDir = newStateDir();
  const watch = watchArguments();
  stack = await startStack({ stateDir, secure: true, report: () => undefined });
  argumentsAtStart = watch.stop();
  env = environmentOf(stack.addresses);
}, 120_000);
afterAll(async () => {
  await stack?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

const PROBES: Readonly<Record<ServerName, (settings: Settings) => Promise<unknown>>> = {
  postgres: async (settings) => {
    await using pg = await connectPostgres(settings, { name: 'test' });
    const { rows } = await pg.query(/* sql */ `select ssl from pg_stat_ssl where pid = pg_backend_pid()`);
    return rows;
  },
  kafka: probeKafka,
  clickhouse: probeClickHouse,
  temporal: async (settings) => (await connectTemporal(settings)).close(),
};

function probe(server: ServerName, changes: Record<string, string | undefined> = {}): Promise<unknown> {
  const changed = Object.entries({ ...env, ...changes }).filter(([, value]) => value !== undefined);
  return PROBES[server](loadSettings({ env: Object.fromEntries(changed), envFile: false, stackFile: false }));
}

/** What a person is told. */
async function told(server: ServerName, changes: Record<string, string | undefined>): Promise<string> {
  const error: unknown = await probe(server, changes).then(
    () => 'it was let in',
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(Failure);
  const { message, remedy } = error as Failure;
  return `${message} ${remedy ?? ''}`;
}

const CA: Readonly<Record<ServerName, string>> = {
  postgres: 'PG_SSLROOTCERT',
  kafka: 'KAFKA_TLS_CA',
  clickhouse: 'CH_TLS_CA',
  temporal: 'TEMPORAL_TLS_SERVER_CA_CERT_PATH',
};

/** The server somewhere else. */
function at(server: ServerName, host: string, port?: number): Record<string, string> {
  const { postgres, kafka, clickhouse, temporal } = stack.addresses;
  const there = (address: string): string => `${host}:${port ?? address.split(':')[1]}`;
  const elsewhere: Record<ServerName, Record<string, string>> = {
    postgres: { PG_HOST: host, PG_PORT: String(port ?? postgres.port) },
    kafka: { KAFKA_BOOTSTRAP: there(kafka.bootstrap) },
    clickhouse: { CH_HOST: host, CH_PORT: String(port ?? new URL(clickhouse.url).port) },
    temporal: { TEMPORAL_ADDRESS: there(temporal.address) },
  };
  return elsewhere[server];
}

function fileOf(content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'pg2click-pem-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file.pem');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

describe.each(SERVER_NAMES)('the certificate of %s', (server) => {
  it('lets us in where its CA and its name are right', async () => {
    const seen = await probe(server);
    if (server === 'postgres') expect(seen).toEqual([{ ssl: true }]);
  });

  it('is refused where its CA is not known, and where it is another', async () => {
    expect(await told(server, { [CA[server]]: undefined })).toContain(
      `shows a certificate whose authority is not trusted here. Name the file with its CA in ${CA[server]}.`,
    );
    const stranger = fileOf((await makeAuthority()).cert);
    expect(await told(server, { [CA[server]]: stranger })).toContain(
      `shows a certificate whose authority is not trusted here. The CA in ${CA[server]} in the environment did not sign it`,
    );
  });

  it('is refused under a name that it does not have', async () => {
    const message = await told(server, { ...at(server, '0.0.0.0'), TEMPORAL_TLS_SERVER_NAME: undefined });
    expect(message).toMatch(
      /shows a certificate (?:for localhost, 127\.0\.0\.1, not for 0\.0\.0\.0|that is not for its name)\. Write in /u,
    );
  });

  it('is refused when it has expired', async () => {
    const authority = await makeAuthority();
    const impostor = await openImpostor(await makeCertificate(authority, { days: -1 }));
    onTestFinished(() => impostor.close());
    const changes = { ...at(server, '127.0.0.1', impostor.port), [CA[server]]: fileOf(authority.cert) };
    expect(await told(server, changes)).toContain('shows a certificate that has expired. Renew the certificate');
  });
});

describe('who mixes up TLS and plain text is told so', () => {
  const off: Readonly<Record<ServerName, Record<string, string | undefined>>> = {
    postgres: { PG_SSLMODE: 'disable', PG_SSLROOTCERT: undefined },
    kafka: { KAFKA_TLS: 'false', KAFKA_TLS_CA: undefined },
    clickhouse: { CH_TLS: 'false', CH_TLS_CA: undefined },
    temporal: { TEMPORAL_TLS: 'false', TEMPORAL_TLS_SERVER_NAME: undefined, [CA.temporal]: undefined },
  };

  it.each(SERVER_NAMES)('where %s wants TLS', async (server) => {
    expect(await told(server, off[server])).toContain(
      server === 'postgres'
        ? 'if it wants TLS, set PG_SSLMODE=verify-full'
        : 'speaks TLS on this port, and we do not. Set ',
    );
  });

  it('where Temporal speaks none', async () => {
    const port = readStackFile(stateDir)?.ports.temporalPlain;
    expect(await told('temporal', at('temporal', '127.0.0.1', port))).toContain('does not speak TLS on this port.');
  });

  it('where Kafka speaks none, offers another mechanism, or asks for no user', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'pg2click-test-guarded-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const kafka = await startGuardedKafka(directory, { admin: 'admin-secret' });
    onTestFinished(() => kafka.stop());
    const there = { ...off.kafka, KAFKA_BOOTSTRAP: kafka.bootstrap };
    expect(await told('kafka', { KAFKA_BOOTSTRAP: kafka.bootstrap })).toContain('does not speak TLS on this port.');
    expect(await told('kafka', there)).toContain('does not let users prove themselves by scram-sha-512.');
    const admin = { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'admin', KAFKA_SASL_PASSWORD: 'admin-secret' };
    expect(await probe('kafka', { ...there, ...admin })).toBe(1);
  });
});

describe('PG_SSLMODE', () => {
  it('verifies less only when it is asked to', async () => {
    const wrongName = at('postgres', '0.0.0.0');
    const noCa = { [CA.postgres]: undefined };
    await expect(probe('postgres', { ...wrongName, PG_SSLMODE: 'verify-ca' })).resolves.toEqual([{ ssl: true }]);
    await expect(probe('postgres', { ...noCa, PG_SSLMODE: 'no-verify' })).resolves.toEqual([{ ssl: true }]);
    expect(await told('postgres', { ...wrongName, PG_SSLMODE: 'require' })).toContain('not for 0.0.0.0');
    expect(await told('postgres', { ...noCa, PG_SSLMODE: 'verify-ca' })).toContain('is not trusted here');
  });
});

describe('a client certificate', () => {
  let pair: KeyPair;
  const own = (): Record<string, string> => ({
    KAFKA_BOOTSTRAP: `127.0.0.1:${readStackFile(stateDir)?.ports.kafkaSsl}`,
  });
  const noUser = {
    KAFKA_SASL_MECHANISM: undefined,
    KAFKA_SASL_USERNAME: undefined,
    KAFKA_SASL_PASSWORD: undefined,
  };
  beforeAll(() => {
    const read = (name: string): string => readFileSync(join(stateDir, 'tls', name), 'utf8');
    pair = { cert: read('server.pem'), key: read('server.key') };
  });

  it('is what Kafka lets in where it wants one, and no other', async () => {
    expect(await told('kafka', { ...own(), ...noUser })).toContain(
      'wants a client certificate that it trusts. Set KAFKA_TLS_CERT and KAFKA_TLS_KEY.',
    );
    const stranger = await makeCertificate(await makeAuthority());
    const show = ({ cert, key }: KeyPair): Record<string, string> => ({
      KAFKA_TLS_CERT: fileOf(cert),
      KAFKA_TLS_KEY: fileOf(key),
    });
    expect(await told('kafka', { ...own(), ...noUser, ...show(stranger) })).toContain(
      'wants a client certificate that it trusts. Check the certificate in KAFKA_TLS_CERT in the environment',
    );
    expect(await probe('kafka', { ...own(), ...noUser, ...show(pair) })).toBe(1);
    expect(await told('kafka', { ...own(), ...show(pair) })).toContain('asks for no user on this port.');
  });

  it('is what PostgreSQL lets in where it wants one', async () => {
    const admin = new pg.Client(stack.addresses.postgres);
    await admin.connect();
    onTestFinished(() => admin.end());
    const set = async (line: string): Promise<void> => {
      const shown = await admin.query<{ hba_file: string }>('show hba_file');
      await admin.query(
        /* sql */ `copy (select ${pg.escapeLiteral(line)}) to ${pg.escapeLiteral(shown.rows[0]?.hba_file ?? '')}`,
      );
      await admin.query('select pg_reload_conf()');
    };
    await set('hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca');
    onTestFinished(() => set('hostssl all all 127.0.0.1/32 scram-sha-256'));
    await waitFor(
      () =>
        probe('postgres').then(
          () => false,
          () => true,
        ),
      { deadlineMs: 5_000, what: 'the new pg_hba.conf' },
    );
    expect(await told('postgres', {})).toContain('does not let the role "postgres" in. Check PG_USER');
    const shown = { PG_SSLCERT: fileOf(pair.cert), PG_SSLKEY: fileOf(pair.key) };
    await expect(probe('postgres', shown)).resolves.toEqual([{ ssl: true }]);
  });
});

describe('a user of Kafka', () => {
  it.each(['PLAIN', 'scram-sha-256', 'SCRAM-SHA-512'])(
    'is let in by %s with the right password only',
    async (mechanism) => {
      expect(await probe('kafka', { KAFKA_SASL_MECHANISM: mechanism })).toBe(1);
      expect(await told('kafka', { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_PASSWORD: 'hush-hush' })).toMatch(
        /does not let the user "pg2click" in with this password\. Check KAFKA_SASL_USERNAME, (?!.*hush)/u,
      );
    },
  );

  it('is asked for where none is named', async () => {
    const nobody = { KAFKA_SASL_MECHANISM: undefined, KAFKA_SASL_USERNAME: undefined, KAFKA_SASL_PASSWORD: undefined };
    expect(await told('kafka', nobody)).toContain('or it wants a user. Set KAFKA_SASL_MECHANISM');
  });
});

it('init says how it reaches each server, and why it does not reach one', async () => {
  const stackFile = { PG2CLICK_STACK_FILE: join(stateDir, 'stack.json') };
  const well = await runCli(['init'], { env: stackFile });
  expect(well.stdout).toMatch(
    /PostgreSQL .* version \S+, TLS, [^]*1 broker, TLS, scram-sha-512[^]*version \S+, TLS\n/u,
  );
  expect(well.code).toBe(0);
  const blind = await runCli(['init'], { env: { ...env, CH_TLS_CA: fileOf((await makeAuthority()).cert) } });
  expect(blind.stdout).toMatch(
    /✖ ClickHouse .* shows a certificate whose authority is not trusted here\.\n.*CH_TLS_CA/u,
  );
  expect(blind.code).toBe(3);
});

it('a table is replicated over TLS everywhere, and no secret is left behind anywhere', async () => {
  const watch = watchArguments();
  const admin = new pg.Client(stack.addresses.postgres);
  await admin.connect();
  // The stack's own database has a ledger already, made by another role.
  await admin.query('create database parcels');
  await admin.end();
  const harness = await openHarness({
    ...stack.addresses,
    postgres: { ...stack.addresses.postgres, database: 'parcels' },
  });
  onTestFinished(() => harness.close());
  const log = startCli(['worker'], { env: { ...harness.environment, PG2CLICK_LOG_LEVEL: 'trace' } });
  const source = await harness.connect();
  await source.query(/* sql */ `create table parcels (id int primary key, text text);
    insert into parcels select i, 'row ' || i from generate_series(1, 5000) i`);
  const parcels = { schema: 'public', table: 'parcels' };
  await harness.add(parcels);
  const status = (): Promise<string> =>
    runCli(['status', '--json'], { env: harness.environment }).then(({ stdout, stderr }) => stdout + stderr);
  // Only the worker that logs all goes on, through a failure of each kind that histories and status tell of.
  await harness.worker.kill();
  await stack.kill('kafka');
  await stack.kill('clickhouse');
  await source.query(
    /* sql */ `update parcels set text = text || '!' where id % 3 = 0; delete from parcels where id % 7 = 0`,
  );
  const troubled = await waitFor(
    async () => {
      const told = await status();
      return told.includes('BrokerUnavailable') ? told : undefined;
    },
    { deadlineMs: 60_000, what: 'a failure in the status', everyMs: 1_000 },
  );
  await Promise.all([stack.start('kafka'), stack.start('clickhouse')]);
  const refused = await runCli(['init'], { env: { ...harness.environment, KAFKA_SASL_PASSWORD: 'not-the-password' } });
  const comparisons = await harness.settle(90_000);
  expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
  expect(comparisons[0]?.equal).toBe(5_000 - 714);

  const handle = harness.temporal.client.workflow.getHandle(harness.workflowId(parcels));
  const places = {
    history: historyToJSON(await handle.fetchHistory()),
    status: troubled + (await status()),
    errors: refused.stdout + refused.stderr,
    log: log.output(),
    arguments: [...argumentsAtStart, ...watch.stop()].join('\n'),
  };
  log.process.kill('SIGTERM');
  await log.ended;
  // Each of them is what it should be, and was looked at while there was something to see.
  expect(places.history).toContain('parcels');
  expect(places.status).toContain('parcels');
  expect(places.errors).toContain('does not let the user "pg2click" in with this password');
  expect(places.log).toMatch(/"level":"(?:trace|debug)"/u);
  expect(places.log).toContain('parcels');
  for (const seen of ['initdb', 'format.args', 'kafka.Kafka', 'clickhouse-front', 'main.js worker'])
    expect(places.arguments).toContain(seen);

  for (const secret of secretsIn(harness.environment))
    for (const [place, text] of Object.entries(places))
      expect(text.includes(secret), `a secret is in the ${place}`).toBe(false);
});

/** All that must not be seen: passwords, in what form they may travel, and the private key. */
function secretsIn(environment: Readonly<Record<string, string>>): string[] {
  const passwords = ['PG_PASSWORD', 'KAFKA_SASL_PASSWORD', 'CH_PASSWORD'].map((name) => environment[name] ?? '');
  const key = readFileSync(join(stateDir, 'tls', 'server.key'), 'utf8').split('\n')[1] ?? '';
  const secrets = [...passwords, ...Object.values(readStackFile(stateDir)?.secrets ?? {}), key, 'not-the-password'];
  for (const secret of secrets) expect(secret.length).toBeGreaterThan(10);
  return secrets.flatMap((secret) => [secret, Buffer.from(secret).toString('base64'), encodeURIComponent(secret)]);
}

/** Gathers the command lines of all processes, as anybody on this machine could. */
function watchArguments(): { stop(): ReadonlySet<string> } {
  const seen = new Set<string>();
  const look = (): void => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/u.test(pid)) continue;
      try {
        seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
      } catch {
        // It has ended meanwhile.
      }
    }
  };
  look();
  const timer = setInterval(look, 20);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return seen;
    },
  };
}
