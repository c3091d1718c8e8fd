import type { FrontRequest } from './request.js';

/**
 * What a session is told before a request's query: database, roles, settings, query parameters.
 * A session keeps what it was told, so it may serve a later request only if that one sets the very same names.
 */
export interface Prelude {
  /** The names that are set: requests with equal keys overwrite each other's values completely. */
  readonly key: string;
  readonly names: readonly string[];
  readonly database: string | undefined;
  readonly roles: readonly string[];
  /** Settings but `readonly`, and query parameters under `param_name`; as text, as in a URL. */
  readonly values: ReadonlyMap<string, string>;
  readonly readonly: string | undefined;
}

export function preludeOf(request: Pick<FrontRequest, 'database' | 'roles' | 'settings' | 'parameters'>): Prelude {
  const { database, roles, settings, parameters } = request;
  const values = new Map(settings);
  values.delete('readonly');
  for (const [name, value] of parameters) values.set(`param_${name}`, value);
  const names = [...settings.keys()].toSorted();
  const key = JSON.stringify([database ?? '', roles.length > 0, names, [...parameters.keys()].toSorted()]);
  return { key, names, database, roles, values, readonly: settings.get('readonly') };
}

/**
 * The engine converts settings and refuses them by name.
 * @param before what the session was told last, of the same key: the same need not be said twice
 * @returns statements, separated by semicolons; empty where there is nothing to say
 */
export function preludeSql({ database, roles, values, readonly }: Prelude, before?: Prelude): string {
  const pairs = [...values].filter(([name, value]) => before?.values.get(name) !== value);
  const set = (name: string, value: string): string => `${identifier(name)} = ${literal(value)}`;
  return [
    ...(database === undefined || before !== undefined ? [] : [/* sql */ `use ${identifier(database)}`]),
    ...(roles.length === 0 ? [] : [/* sql */ `set role ${roles.map(identifier).join(', ')}`]),
    ...(pairs.length === 0 ? [] : [/* sql */ `set ${pairs.map(([name, value]) => set(name, value)).join(', ')}`]),
    // Last and alone: after it nothing can be set any more.
    ...(readonly === undefined ? [] : [/* sql */ `set ${set('readonly', readonly)}`]),
  ].join('; ');
}

/**
 * The settings of an insert, for an engine that reads the rows from a file: there `max_block_size` says how many rows are
 * a block, where a server that reads them from a connection goes by `max_insert_block_size`.
 */
export function insertSettings(settings: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const rows = settings.get('max_insert_block_size');
  return rows === undefined || settings.has('max_block_size')
    ? settings
    : new Map([...settings, ['max_block_size', rows]]);
}

/** A quoted identifier of ClickHouse. */
export function identifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}

/** A string literal of ClickHouse. */
export function literal(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
