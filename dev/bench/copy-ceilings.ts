import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { quoteCh, quotePg } from '../../src/domain/identifier.js';
import { loaderNamed, physicalName, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { copySql } from '../../src/source/copy/copy-rows.js';
import { quoteText } from '../../src/clickhouse/names.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { timed, type Timing } from './clock.js';
import { copyToNowhere } from './drain-ceiling.js';
import { count, type BenchEnvironment } from './environment.js';
import { ownAndEndedSeconds } from './usage.js';

export const POSTGRESQL_FUNCTION = 'postgresql() in ClickHouse';

/** Any position does for a copy that nobody keeps. */
const POSITION = '1';

/** What the same servers do with the same rows without pg2click. */
export async function copyCeilings(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
): Promise<readonly Ceiling[]> {
  const sql = copySql(table, POSITION);
  await using pg = await environment.connect('copy ceiling');
  const nowhere = await timed(environment, () => copyToNowhere(pg, sql));
  const piped = await intoBareTable(environment, table, rows, (bare) => psqlToCurl(environment, sql, bare));
  const pulled = await intoBareTable(environment, table, rows, async (bare) => {
    await environment.clickhouse.command({ query: functionInsert(environment, table, bare) });
  });
  return [
    ceilingOf('COPY to nowhere', rows, nowhere),
    ceilingOf('psql COPY | curl', rows, piped),
    ceilingOf(POSTGRESQL_FUNCTION, rows, pulled),
  ];
}

/** A table of the same definition as the target. */
async function intoBareTable(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
  fill: (bare: string) => Promise<void>,
): Promise<Timing> {
  const { clickhouse } = environment;
  const { target } = loaderNamed(table);
  const bare = `${target.table}_bare`;
  await clickhouse.command({ query: /* sql */ `create table ${bare} as ${target.database}.${target.table}` });
  try {
    const before = ownAndEndedSeconds();
    const timing = await timed(environment, () => fill(bare));
    const client = Math.round((ownAndEndedSeconds() - before) * 100) / 100;
    const there = await count(clickhouse, /* sql */ `select count() as n from ${bare}`);
    if (there !== rows) throw new Error(`${there} of ${rows} rows came into ${bare}`);
    return { ...timing, coreSeconds: { ...timing.coreSeconds, client } };
  } finally {
    await clickhouse.command({ query: /* sql */ `drop table ${bare} sync` });
  }
}

/** The copy's own SELECT and settings, with the programs that people take. */
async function psqlToCurl(environment: BenchEnvironment, sql: string, bare: string): Promise<void> {
  const { clickhouse, settings, signal } = environment;
  const { host, port, database, user, password } = settings.postgres;
  const url = new URL(settings.clickhouse.url);
  url.searchParams.set('database', settings.clickhouse.database);
  url.searchParams.set('query', /* sql */ `insert into ${bare} format TabSeparated`);
  for (const [name, value] of Object.entries(await copyInsertSettings(clickhouse)))
    url.searchParams.set(name, String(value));
  const script = `set -o pipefail; psql -XqAtc "$COPY" | curl -sS --fail-with-body -X POST -T - -H Expect: -u "$USER_OF_CH:$PASSWORD_OF_CH" "$URL_OF_CH"`;
  const env = {
    ...process.env,
    PGHOST: host,
    PGPORT: String(port),
    PGDATABASE: database,
    PGUSER: user,
    PGPASSWORD: password.reveal(),
    PGOPTIONS: '-c TimeZone=UTC -c DateStyle=ISO',
    COPY: sql,
    URL_OF_CH: url.href,
    USER_OF_CH: settings.clickhouse.user,
    PASSWORD_OF_CH: settings.clickhouse.password.reveal(),
  };
  const child = spawn('bash', ['-c', script], { env, signal, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`psql | curl ended with ${code}, which needs bash, psql and curl: ${said.trim()}`);
}

/** ClickHouse fetches the rows by itself. */
function functionInsert({ settings }: BenchEnvironment, table: ReplicatedTable, bare: string): string {
  const { host, port, database, user, password } = settings.postgres;
  const columns = table.columns.map((column) => quoteCh(physicalName(column))).join(', ');
  const names = table.columns.map((column) => quotePg(column.name)).join(', ');
  const { schema, table: name } = table.name;
  const source = [`${host}:${port}`, database, name, user, password.reveal(), schema].map(quoteText).join(', ');
  return /* sql */ `insert into ${bare} (${columns}, _version, _deleted) select ${names}, 1, 0 from postgresql(${source})`;
}
