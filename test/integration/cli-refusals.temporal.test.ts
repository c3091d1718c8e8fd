import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTemporal } from '../../src/connect/temporal.js';
import { SEARCH_KEYS } from '../../src/domain/search-attributes.js';
import { loadSettings } from '../../src/settings/settings.js';
import { REPLICATE_TABLE } from '../../workflows/names.js';
import { emptyFolder, runCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { freshName, readerRoleOf, waitFor } from '../support/stack.js';

let settings: CliSettings;
/** Of the deployment, as `init` says it. */
let taskQueue: string;

/** A ledger that is ready, and one table that waits for a worker: none ever runs here. */
beforeAll(async () => {
  settings = await freshSettings();
  const client = await connectOwner(settings);
  await client.query(/* sql */ `create table keyless (a int);
    create table pointed (id int primary key, place point, "note.size" int, note text);
    create table priced (id int primary key, amount numeric, until date);
    insert into priced values (1, 1.5, '9999-12-31');
    create table orders (id int primary key);
    create table growing (id bigserial primary key);
    grant usage, select on sequence growing_id_seq to public;
    create view seen as select * from orders`);
  await client.end();
  const init = await runCli(['init', '--json'], { env: settings });
  ({ taskQueue } = JSON.parse(init.stdout) as { taskQueue: string });
  expect((await runCli(['add', 'orders', '--no-wait'], { env: settings })).code).toBe(0);
});

function without(...names: string[]): CliSettings {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !names.includes(name)));
}

/** One sentence and, below it, what to do; nothing of a stack, and no secret. */
function expectSentence(stderr: string, sentence: string): void {
  expect(stderr.split('\n')[0]).toBe(`error: ${sentence}`);
  expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
  expect(stderr).not.toMatch(/^\s+at /mu);
  expect(stderr).not.toContain(settings['PG_PASSWORD']);
}

describe('wrong usage ends with 2', () => {
  it.each([
    [['stat'], "error: unknown command 'stat'\n(Did you mean status?)"],
    [['add', 'orders', '--kye', 'id'], "error: unknown option '--kye'\n(Did you mean --key?)"],
    [['add'], "error: missing required argument 'table'"],
    [
      ['add', 'orders', '--format', 'xml'],
      "error: option '--format <format>' argument 'xml' is invalid. Allowed choices are json, packed, avro, debezium.",
    ],
    [
      ['worker', '--role', 'boss'],
      "error: option '--role <role>' argument 'boss' is invalid. Allowed choices are producer, consumer, all.",
    ],
    [
      ['demo', '--seconds', 'many'],
      "error: option '--seconds <number>' argument 'many' is invalid. Expected a whole number of seconds from 1 to 86400.",
    ],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(stderr.trimEnd()).toBe(message);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('a name that is no table name', async () => {
    const { code, stderr } = await runCli(['pause', 'a.b.c'], { env: settings });
    expectSentence(
      stderr,
      '"a.b.c" is not a table name: write table, schema.table, or "Schema"."Table" with quotes for capitals.',
    );
    expect(code).toBe(2);
  });

  it('remove without --yes where nobody can be asked', async () => {
    const { code, stderr } = await runCli(['remove', 'orders'], { env: settings });
    expectSentence(stderr, 'Removing public.orders needs --yes where nobody can be asked.');
    expect(code).toBe(2);
  });
});

describe('messages in Avro', () => {
  it('need a schema registry, and nothing is started without one', async () => {
    const { code, stderr } = await runCli(['add', 'priced', '--format', 'avro'], { env: settings });
    expectSentence(stderr, 'Messages in Avro need a schema registry, and SCHEMA_REGISTRY_URL is not set.');
    expect(stderr).toContain('Set SCHEMA_REGISTRY_URL for the commands and the workers, or use --format json.');
    expect(code).toBe(2);
  });

  it('need one that is there, which init looks at', async () => {
    const env = { ...settings, SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' };
    const { code, stdout } = await runCli(['init', '--json'], { env });
    const { servers } = JSON.parse(stdout) as { servers: readonly { server: string; ok: boolean; told: string }[] };
    expect(servers.filter(({ ok }) => !ok)).toMatchObject([
      {
        server: 'Registry',
        told: 'The schema registry http://127.0.0.1:1 refused the connection: nothing listens there.',
      },
    ]);
    expect(code).toBe(3);
  });
});

describe('a way that makes no sense', () => {
  it.each([
    [['--transport', 'direct', '--format', 'avro'], '--format avro', '--transport direct has none', true],
    [['--transport', 'direct', '--format', 'debezium'], '--format debezium', '--transport direct has none', true],
    [['--transport', 'direct', '--payload', 'key'], '--payload key', '--transport direct has none', true],
    [['--capture', 'poll', '--format', 'packed'], '--format packed', '--capture poll goes without', true],
    [
      ['--capture', 'poll', '--engine', 'merge-tree', '--format', 'packed'],
      '--format packed',
      '--capture poll goes without',
      false,
    ],
  ])('%j: a format where there are no messages', async (options, what, why, hasWay) => {
    const { code, stderr } = await runCli(['add', 'growing', ...options], { env: settings });
    const way = hasWay ? `Use --transport kafka, or leave ${what} out.` : `Leave ${what} out.`;
    expectSentence(stderr, `${what} is of messages in Kafka, and ${why}. ${way}`);
    expect(code).toBe(5);
  });

  it('a format that the settings ask for goes without a word where there are no messages', async () => {
    const env = { ...settings, KAFKA_FORMAT: 'packed' };
    const { code } = await runCli(['add', 'growing', '--transport', 'direct', '--dry-run'], { env });
    expect(code).toBe(0);
  });

  it("a topic of Debezium's that is not there", async () => {
    const topic = freshName('missing');
    const { code, stderr } = await runCli(['add', 'priced', '--capture', 'debezium', '--topic', topic], {
      env: settings,
    });
    expectSentence(stderr, `There is no topic ${topic}.`);
    expect(stderr).toContain(
      'Start the connector that writes it, then add the table. Nothing was changed: name another topic with --topic.',
    );
    expect(code).toBe(2);
    const { stdout } = await runCli(['status', '--json'], { env: settings });
    expect(stdout).not.toContain('priced');
  });
});

describe('more tables than the workers have slots for', () => {
  it('are refused before anything is started; one that is replicated already is not', async () => {
    const env = { ...settings, PG2CLICK_SLOTS: '2' };
    const client = await connectOwner(settings);
    await client.query(`create table invoices (id int primary key)`);
    await client.end();
    const temporal = await connectTemporal(loadSettings({ env: settings, envFile: false, stackFile: false }));
    await waitFor(async () => (await temporal.client.workflow.count('Pg2clickPhase = "preparing"')).count > 0, {
      deadlineMs: 30_000,
      what: 'the first table in the list of workflows',
    });
    await temporal.close();
    const { code, stderr } = await runCli(['add', 'invoices', '--no-wait'], { env });
    expect(stderr).toContain('The workers have no room for another table: 1 run, 1 of them in their first load');
    expect(code).toBe(2);
    expect((await runCli(['add', 'orders', '--no-wait'], { env })).code).toBe(0);
    const elsewhere = { ...settings, PG2CLICK_PIPELINE: freshName('cli') };
    expect((await runCli(['add', 'invoices', '--no-wait'], { env: elsewhere })).code).toBe(0);
  }, 120_000);
});

describe('wrong settings end with 2', () => {
  it('a misspelt name in .env', async () => {
    const directory = emptyFolder();
    writeFileSync(join(directory, '.env'), 'PG_PASWORD=hush-hush\n');
    const { code, stderr } = await runCli(['status'], { directory });
    expectSentence(stderr, 'PG_PASWORD in .env is not a setting: did you mean PG_PASSWORD?');
    expect(stderr).not.toContain('hush');
    expect(code).toBe(2);
  });

  it('a value of the wrong kind', async () => {
    const { code, stderr } = await runCli(['status'], { env: { PG_PORT: 'five' } });
    expectSentence(stderr, 'PG_PORT in the environment is "five": expected a whole number from 1 to 65535.');
    expect(code).toBe(2);
  });

  it('a file of settings that is not there', async () => {
    const { code, stderr } = await runCli(['--settings', 'nope.env', 'status']);
    expectSentence(stderr, 'There is no file nope.env to read settings from.');
    expect(code).toBe(2);
  });

  it('a wrong password of PostgreSQL', async () => {
    const { code, stderr } = await runCli(['status'], { env: { ...settings, PG_PASSWORD: 'hush-hush' } });
    const server = `PostgreSQL at ${settings['PG_HOST']}:${settings['PG_PORT']}`;
    expectSentence(stderr, `${server} does not let the role "${settings['PG_USER']}" in with this password.`);
    expect(stderr).toContain('Check PG_USER and PG_PASSWORD in the environment.');
    expect(stderr).not.toContain('hush');
    expect(code).toBe(2);
  });

  it('no password where one is asked for', async () => {
    const { code, stderr } = await runCli(['status'], { env: without('PG_PASSWORD') });
    expect(stderr).toContain('asks for a password of the role');
    expect(stderr).toContain('Set PG_PASSWORD, or PG_PASSWORD_FILE.');
    expect(code).toBe(2);
  });

  it('a database that is not there', async () => {
    const { code, stderr } = await runCli(['status'], { env: { ...settings, PG_DB: 'nope' } });
    expect(stderr).toContain('has no database "nope".');
    expect(stderr).toContain('correct PG_DB in the environment.');
    expect(code).toBe(2);
  });

  it('a namespace of Temporal that is not there', async () => {
    const { code, stderr } = await runCli(['status'], { env: { ...settings, TEMPORAL_NAMESPACE: 'nope' } });
    expectSentence(stderr, `Temporal at ${settings['TEMPORAL_ADDRESS']} has no namespace "nope".`);
    expect(code).toBe(2);
  });

  it('init under a role that may not make the ledger names the script that an administrator runs', async () => {
    const plain = readerRoleOf(settings['PG_DB'] ?? '');
    const database = settings['PG_DB'] ?? '';
    const client = await connectOwner(settings);
    await client.query(/* sql */ `create role ${plain} login password 'plain'`);
    await client.end();
    const { code, stdout } = await runCli(['init'], { env: { ...settings, PG_USER: plain, PG_PASSWORD: 'plain' } });
    expect(stdout).toContain(
      `✖ PostgreSQL  The role "${plain}" may not make the ledger in the database "${database}": the schema pg2click is not its own.`,
    );
    const [, script = ''] =
      /→ Let an administrator run (\S+) there, with "\w+" as the role at its top\./u.exec(stdout) ?? [];
    expect(existsSync(script), script).toBe(true);
    expect(code).toBe(2);
  });
});

describe('a server that cannot be reached ends with 3', () => {
  it.each([
    [
      'PostgreSQL',
      { PG_HOST: 'localhost', PG_PORT: '1' },
      'PostgreSQL at localhost:1 refused the connection: nothing listens there.',
    ],
    [
      'its host',
      { PG_HOST: 'no-such-host.invalid', PG_PORT: '5432' },
      'PostgreSQL at no-such-host.invalid:5432 cannot be found: no such host name.',
    ],
  ])('%s', async (_, wrong, sentence) => {
    const { code, stderr } = await runCli(['status'], { env: { ...settings, ...wrong } });
    expectSentence(stderr, sentence);
    expect(code).toBe(3);
  });

  it('Temporal; only status shows what it can without it', async () => {
    const env = { ...settings, TEMPORAL_ADDRESS: 'localhost:1' };
    const sentence = 'Temporal at localhost:1 refused the connection: nothing listens there.';
    const paused = await runCli(['pause', 'orders'], { env });
    expectSentence(paused.stderr, sentence);
    expect(paused.code).toBe(3);
    const status = await runCli(['status'], { env });
    expect(status.stdout).toContain(
      `Phases and workers are not known, and figures are those of the ledger: ${sentence}`,
    );
    expect(status.code).toBe(3);
  });

  it('a worker without Temporal does not wait for it', async () => {
    const { code, stderr } = await runCli(['worker'], { env: { ...settings, TEMPORAL_ADDRESS: 'localhost:1' } });
    const lines = stderr.split('\n').filter((line) => !line.startsWith('{'));
    expectSentence(lines.join('\n'), 'Temporal at localhost:1 refused the connection: nothing listens there.');
    expect(code).toBe(3);
  });

  it('init tells of each server, and of the first that fails by its code', async () => {
    const env = { ...settings, KAFKA_BOOTSTRAP: 'localhost:1', CH_PASSWORD: 'hush-hush' };
    const { code, stdout } = await runCli(['init'], { env });
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^✔ PostgreSQL {2}.* {2}version \d+/u);
    expect(stdout).toContain('✖ Kafka       Kafka at localhost:1 refused the connection: nothing listens there.');
    expect(stdout).toMatch(/✖ ClickHouse {2}ClickHouse at .* does not let the user ".*" in with this password\./u);
    expect(stdout).toMatch(/✔ Temporal /u);
    expect(stdout).not.toContain('hush');
    expect(code).toBe(3);
  });
});

describe('a table that cannot be replicated ends with 5, and changes nothing', () => {
  it.each([
    ['nope', 'There is no table public.nope in PostgreSQL.'],
    ['keyless', 'public.keyless has no primary key.'],
    ['pointed', 'public.pointed has a column note.size: for ClickHouse that is a part of column note.'],
    ['seen', 'public.seen is a view: it cannot be replicated.'],
    [
      'priced --type amount=Float64',
      'Values of column amount of public.priced, a numeric, cannot be stored in Float64 exactly.',
    ],
    [
      'priced --policy amount=clamp',
      'Every value of column amount of public.priced, a numeric, has its exact place in String.',
    ],
  ])('%s', async (written, sentence) => {
    const [table = '', ...options] = written.split(' ');
    const { code, stderr } = await runCli(['add', table, ...options], { env: settings });
    expectSentence(stderr, sentence);
    expect(code).toBe(5);
    const status = await runCli(['status', table], { env: settings });
    expectSentence(
      status.stderr,
      `public.${table} is not replicated in the pipeline "${settings['PG2CLICK_PIPELINE']}".`,
    );
    expect(status.code).toBe(5);
  });

  it('but a column whose values have no place is named, with what lets them in', async () => {
    const env = { ...settings, PG2CLICK_PIPELINE: `${settings['PG2CLICK_PIPELINE']}_other` };
    const { code, stderr } = await runCli(['add', 'priced', '--no-wait'], { env });
    expect(stderr).toContain('column until has values that Date32 has no place for');
    expect(stderr).toContain('--policy until=POLICY, where POLICY is text or null or clamp.');
    expect(code).toBe(0);
  });

  it.each(['pause', 'resume'])('%s of a table that is not replicated', async (command) => {
    const { code, stderr } = await runCli([command, 'keyless'], { env: settings });
    expect(stderr).toContain('public.keyless is not replicated');
    expect(code).toBe(5);
  });

  it('tells scripts with --json, on standard output', async () => {
    const { code, stdout } = await runCli(['add', 'nope', '--json'], { env: settings });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        kind: 'MissingTable',
        message: 'There is no table public.nope in PostgreSQL.',
        remedy: null,
      },
    });
    expect(code).toBe(5);
  });
});

describe('without a worker', () => {
  it('add is accepted, ends with 6, and says who is missing', async () => {
    const { code, stderr } = await runCli(['add', 'orders'], { env: settings });
    expect(stderr).toMatch(/No worker runs: nobody polls (pg2click\/[0-9a-f]{8}), \1\/producer, \1\/consumer\./u);
    expect(code).toBe(6);
  });

  it('status shows what the servers know, says so, and ends with 4', async () => {
    const { code, stdout } = await runCli(['status', '--json'], { env: settings });
    expect(JSON.parse(stdout)).toMatchObject({
      pipeline: settings['PG2CLICK_PIPELINE'],
      workers: { workflow: 0, producer: 0, consumer: 0 },
      tables: [{ table: 'public.orders', phase: 'preparing', answering: false, failure: null }],
    });
    expect(code).toBe(4);
    expect((await runCli(['status'], { env: settings })).stdout).toContain('No worker polls pg2click/');
  });

  it('pause is accepted for later, and ends with 6', async () => {
    const { code, stdout } = await runCli(['pause', 'orders', '--reason', 'no hurry'], { env: settings });
    expect(stdout.trim()).toBe('Accepted; no worker answered, so it takes effect when one runs.');
    expect(code).toBe(6);
  });

  it('remove of a parked table is accepted for later too: its park is not one of the removal', async () => {
    const pipeline = settings['PG2CLICK_PIPELINE'] ?? '';
    const temporal = await connectTemporal(loadSettings({ env: settings, envFile: false, stackFile: false }));
    const workflow = await temporal.client.workflow.start(REPLICATE_TABLE, {
      workflowId: `replicate/${pipeline}/public.held`,
      taskQueue,
      args: [{ pipeline, schema: 'public', table: 'held' }],
      typedSearchAttributes: [{ key: SEARCH_KEYS.phase, value: 'parked' }],
    });
    const { code, stdout } = await runCli(['remove', 'held', '--yes'], { env: settings });
    await workflow.terminate();
    await temporal.close();
    expect(stdout.trim()).toBe('Accepted; no worker runs, so it takes effect when one does.');
    expect(code).toBe(6);
  });
});

describe('init', () => {
  it('writes a .env that sets nothing where nothing is configured, once, for its owner only', async () => {
    const directory = emptyFolder();
    const first = await runCli(['init'], { directory });
    expect(first.stderr).toContain('Wrote .env');
    const written = readFileSync(join(directory, '.env'), 'utf8');
    expect(written).toContain('#PG_HOST=localhost');
    writeFileSync(join(directory, '.env'), 'PG2CLICK_PIPELINE=mine\n');
    await runCli(['init'], { directory });
    expect(readFileSync(join(directory, '.env'), 'utf8')).toBe('PG2CLICK_PIPELINE=mine\n');
  });

  it('writes none where the environment says it all', async () => {
    const directory = emptyFolder();
    const { code, stdout } = await runCli(['init', '--json'], { directory, env: settings });
    expect(existsSync(join(directory, '.env'))).toBe(false);
    expect(JSON.parse(stdout)).toMatchObject({ ready: true, wroteEnvFile: false });
    expect(code).toBe(0);
  });

  it('does not call the server of the tables a standby that lacks something', async () => {
    const owner = await connectOwner(settings);
    await owner.query(`alter role ${settings['PG_USER']} replication`);
    await owner.end();
    const env = { ...settings, PG_WAL_ADDRESS: `${settings['PG_HOST']}:${settings['PG_PORT']}` };
    const { code, stdout } = await runCli(['init'], { env });
    expect(stdout).toMatch(/✔ Standby .* no standby: it is the server of PG_HOST, take PG_WAL_ADDRESS out/u);
    expect(code).toBe(0);
  });

  it('is harmless to run again', async () => {
    const again = await runCli(['init'], { env: settings });
    expect(again.stdout).toContain('ledger up to date');
    expect(again.stderr).toMatch(/Ready\. Next:\n {2}pg2click worker .*\n {2}pg2click add TABLE\n/u);
    expect(again.code).toBe(0);
  });
});
