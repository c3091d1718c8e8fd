import type { TableOptions } from './replicated-table.js';
import type { RouteOptions } from './route-change.js';
import { chosenName, columnName, shellName, shellWord, type TableName } from './table-name.js';

type Options = TableOptions & RouteOptions;

/** In the order in which a command prints them. */
const FLAGS: Readonly<Record<keyof Options, string>> = {
  target: '--target',
  topic: '--topic',
  key: '--key',
  where: '--where',
  types: '--type',
  codecs: '--codec',
  lowCardinality: '--low-cardinality',
  policies: '--policy',
  policy: '--policy',
  excluded: '--exclude-column',
  renamed: '--rename-column',
  capture: '--capture',
  appendOnly: '--append-only',
  cursor: '--cursor',
  channel: '--channel',
  intervalMs: '--interval',
  transport: '--transport',
  loader: '--loader',
  payload: '--payload',
  format: '--format',
  engine: '--engine',
  orderBy: '--order-by',
  partitionBy: '--partition-by',
  ttl: '--ttl',
  constantTtl: '--constant-ttl',
  cluster: '--cluster',
};

/** `pg2click add shop.orders --target NAME --capture poll`: a command of a table that a person can paste into a shell. */
export function tableCommand(command: 'add' | 'configure', name: TableName, options: Options): string {
  const words = (Object.keys(FLAGS) as (keyof Options)[]).flatMap((option) => {
    const value = options[option];
    if (value === undefined || value === false) return [];
    if (value === true) return [FLAGS[option]];
    if (typeof value !== 'object') return [FLAGS[option], shellWord(String(value))];
    if (isList(value)) return [FLAGS[option], shellWord(value.map(columnName).join(','))];
    return Object.entries(value).flatMap(([column, each]) => [
      FLAGS[option],
      shellWord(`${columnName(column)}=${option === 'renamed' ? chosenName(each) : each}`),
    ]);
  });
  return ['pg2click', command, shellName(name), ...words].join(' ');
}

function isList(value: object): value is readonly string[] {
  return Array.isArray(value);
}
