import type { StackEvent } from '../stack/stack.js';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { ensureSearchAttributes } from '../../src/worker/search-attributes.js';
import type { Fixtures, DemoContext } from './context.js';
import { openEnvironment, type Environment } from './environment.js';
import { createFlights, readFlights, type Flight } from './flights.js';
import { createGates, GATE_COUNT } from './gates.js';
import { startGauges, type WatchedTable } from './gauges.js';
import { number } from './live-block.js';
import { createNotes } from './notes.js';
import { isAppendOnly, serversOf, tablesOf, viewNameOf } from './route.js';
import type { ReportProgress } from './screen.js';
import type { ServerName } from '../../src/settings/server-name.js';

/** Every tenth flight has a note. */
const FLIGHTS_PER_NOTE = 10;
/** Counting 230,000 live rows takes some 100 ms of a core on both sides together. */
const GAUGE_EVERY_MS = 2_000;

const TITLES: Readonly<Record<ServerName, string>> = {
  postgres: 'PostgreSQL',
  kafka: 'Kafka',
  clickhouse: 'ClickHouse',
  temporal: 'Temporal',
};

/** `PostgreSQL, ClickHouse and Temporal` */
function titlesOf(servers: readonly ServerName[]): string {
  const titles = servers.map((server) => TITLES[server]);
  return `${titles.slice(0, -1).join(', ')} and ${titles.at(-1) ?? ''}`;
}

/** First: servers, data, a worker. */
export async function setUp(context: DemoContext): Promise<Fixtures> {
  const { screen, route } = context;
  const all = tablesOf(route);
  const servers = serversOf(route);
  const [environment, flights] = await Promise.all([
    screen.step(`start ${titlesOf(servers)} on this machine`, (report) =>
      openEnvironment({
        ...context,
        servers,
        needsRegistry: route.format === 'avro',
        report: reporter(context, report, servers),
      }),
    ),
    readFlights(),
  ]);
  const noted = flights.filter((_flight, index) => index % FLIGHTS_PER_NOTE === 0);
  const { temporal, settings } = environment;
  await ensureSearchAttributes(temporal.client.connection, settings.temporal.namespace);

  const [worker] = await Promise.all([
    screen.step(
      'start a worker, a process of its own',
      () => environment.startWorker((text) => screen.say(`  ${screen.paint.red('✖')} ${text}`)),
      ({ pid }) => ({ text: `pid ${pid}`, well: true }),
    ),
    screen.step(
      all.length === 1 ? 'fill a table in PostgreSQL' : 'fill three tables in PostgreSQL',
      () => (isAppendOnly(route) ? fillFlights(environment, flights) : fill(environment, flights, noted)),
      () => ({
        text: [
          `${number(flights.length)} US flights`,
          ...(all.length === 1 ? [] : [`${number(noted.length)} messy notes`, `${number(GATE_COUNT)} gates`]),
        ].join(', '),
        well: true,
      }),
    ),
  ]);
  const tables = all.map((name): WatchedTable => ({
    name,
    title: name.table,
    view: { database: settings.clickhouse.database, table: viewNameOf(route, name) },
    hasOutbox: !isAppendOnly(route),
    ledgerId: undefined,
  }));
  const gauges = startGauges({
    postgres: await environment.connect('gauges'),
    clickhouse: environment.clickhouse,
    tables,
    everyMs: GAUGE_EVERY_MS,
  });
  context.cleanup.defer(() => gauges.stop());
  return {
    environment,
    worker,
    tables,
    display: { tables, gauges, trouble: '', clock: () => '' },
    sizes: { flights: flights.length, notes: noted.length, gates: GATE_COUNT },
  };
}

async function fillFlights(environment: Environment, flights: readonly Flight[]): Promise<void> {
  const pg = await environment.connect('setup');
  await migrateLedger(pg);
  await createFlights(pg, flights);
}

async function fill(environment: Environment, flights: readonly Flight[], noted: readonly Flight[]): Promise<void> {
  const [pg, other] = await Promise.all([environment.connect('setup'), environment.connect('setup')]);
  await migrateLedger(pg);
  await Promise.all([createFlights(pg, flights), createNotes(other, noted)]);
  await createGates(pg);
}

/** Reports servers that are not ready yet, with their step; and those that die later without having been asked to. */
function reporter(
  { screen }: DemoContext,
  report: ReportProgress,
  servers: readonly ServerName[],
): (event: StackEvent) => void {
  const steps = new Map<ServerName, string>(servers.map((server) => [server, '']));
  return (event) => {
    if (event.kind === 'note') screen.say(`  ${event.text}`);
    if (event.kind === 'died') screen.say(`  ${screen.paint.red('✖')} ${event.text}`);
    if (event.kind === 'step') steps.set(event.server, ` (${event.text})`);
    if (event.kind === 'ready') steps.delete(event.server);
    const waiting = [...steps].map(([server, step]) => `${TITLES[server]}${step}`);
    report(waiting.length === 0 ? '' : `waiting for ${waiting.join(', ')}`);
  };
}
