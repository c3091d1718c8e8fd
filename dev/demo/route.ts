import { LOADERS } from '../../src/clickhouse/loaders.js';
import { refusalOf } from '../../src/domain/route-refusal.js';
import { routeOf } from '../../src/domain/route-choice.js';
import { APPEND_ONLY_CAPTURES, type Route } from '../../src/domain/route.js';
import { Failure } from '../../src/failure/failure.js';
import { SERVER_NAMES, type ServerName } from '../../src/settings/server-name.js';
import { CAPTURES } from '../../src/source/captures.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import type { TableName } from '../../src/domain/table-name.js';
import { FLIGHTS } from './flights.js';
import { GATES } from './gates.js';
import { NOTES } from './notes.js';

/** The way of the demo's rows; what is absent is the default of `pg2click add`. */
export type DemoRoute = Pick<TableOptions, 'capture' | 'transport' | 'loader' | 'payload' | 'engine' | 'format'>;

/** What sees inserts only gets a table that only grows, and a writer that only inserts. */
export function isAppendOnly({ capture = 'outbox' }: DemoRoute): boolean {
  return APPEND_ONLY_CAPTURES.includes(capture);
}

export function tablesOf(route: DemoRoute): readonly TableName[] {
  return isAppendOnly(route) ? [FLIGHTS] : [FLIGHTS, NOTES, GATES];
}

/** Nothing needs Kafka where rows go direct. */
export function serversOf(route: DemoRoute): readonly ServerName[] {
  return isDirect(route) ? SERVER_NAMES.filter((name) => name !== 'kafka') : SERVER_NAMES;
}

/** Where the live rows of a target are: a plain MergeTree has no other versions of a row to leave out. */
export function viewNameOf({ engine }: DemoRoute, { table }: TableName): string {
  return engine === 'merge-tree' ? table : `${table}_current`;
}

/**
 * Before anything is started.
 * @throws Failure `Misconfigured` for a way that `add` would refuse
 */
export function requireRoute(route: DemoRoute): void {
  const refusal = refusalOf(composed(route), { captures: CAPTURES.kinds, loaders: LOADERS.kinds });
  if (refusal !== undefined) throw new Failure('Misconfigured', { message: refusal });
}

function composed(route: DemoRoute): Route {
  const { capture = 'outbox', loader = 'worker', payload = 'row', format = 'json', engine = 'replacing' } = route;
  return routeOf({ capture, transport: isDirect(route) ? 'direct' : 'kafka', loader, payload, format, engine });
}

function isDirect(route: DemoRoute): boolean {
  return (route.transport ?? (isAppendOnly(route) ? 'direct' : 'kafka')) === 'direct';
}

/** `PostgreSQL → outbox → Kafka → ClickHouse` */
export function describeRoute(route: DemoRoute): string {
  const { capture = 'outbox', loader, payload, engine, format } = route;
  const form = { json: '', packed: 'packed', avro: 'Avro', debezium: 'Debezium' }[format ?? 'json'];
  const messages = [payload === 'key' ? 'keys' : '', form].filter(Boolean).join(', ');
  const kafka = `Kafka${messages === '' ? '' : ` (${messages})`}`;
  const target = `ClickHouse${engine === 'merge-tree' ? ' (plain MergeTree)' : ''}`;
  const last = loader === 'kafka-engine' ? `${target} by its Kafka engine` : target;
  return ['PostgreSQL', capture, ...(isDirect(route) ? [] : [kafka]), last].join(' → ');
}
