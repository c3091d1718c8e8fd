import type { TableOptions } from './replicated-table.js';
import type { RouteOptions } from './route-change.js';
import { quoteShell, shellName, type TableName } from './table-name.js';

type Options = TableOptions & RouteOptions;

/** In the order in which a command prints them. */
const FLAGS: Readonly<Record<keyof Options, string>> = {
  target: '--target',
  topic: '--topic',
  key: '--key',
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
};

/** `pg2click add shop.orders --target NAME --capture poll`: a command of a table that a person can paste into a shell. */
export function tableCommand(command: 'add' | 'configure', name: TableName, options: Options): string {
  const words = (Object.keys(FLAGS) as (keyof Options)[]).flatMap((option) => {
    const value = options[option];
    if (value === undefined || value === false) return [];
    if (value === true) return [FLAGS[option]];
    return [FLAGS[option], shellWord(typeof value === 'object' ? value.join(',') : String(value))];
  });
  return ['pg2click', command, shellName(name), ...words].join(' ');
}

function shellWord(text: string): string {
  return /^[\w.,:@+-]+$/u.test(text) ? text : quoteShell(text);
}
