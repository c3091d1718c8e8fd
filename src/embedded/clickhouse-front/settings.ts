import type { FrontRequest } from './request.js';

/**
 * What a session is told before a request's query: database, roles, settings, query parameters.
 * A session keeps what it was told, so it may serve a later request only if that one sets the very same names.
 */
export interface Prelude {
  /** The names that are set: requests with equal keys overwrite each other's values completely. */
  readonly key: string;
  /** Statements, separated by semicolons; empty where there is nothing to say. */
  readonly sql: string;
  readonly names: readonly string[];
}

/** The prelude of a request. Settings go by text, as in a URL: the engine converts and refuses them by name. */
export function preludeOf(request: Pick<FrontRequest, 'database' | 'roles' | 'settings' | 'parameters'>): Prelude {
  const settings = [...request.settings].filter(([name]) => name !== 'readonly');
  const parameters = [...request.parameters].map(([name, value]) => [`param_${name}`, value] as const);
  // Last and alone: after readonly nothing can be set any more.
  const readonly = [...request.settings].filter(([name]) => name === 'readonly');
  const statements = [
    ...(request.database === undefined ? [] : [/* sql */ `use ${identifier(request.database)}`]),
    ...(request.roles.length === 0 ? [] : [/* sql */ `set role ${request.roles.map(identifier).join(', ')}`]),
    ...[[...settings, ...parameters], readonly]
      .filter((pairs) => pairs.length > 0)
      .map(
        (pairs) =>
          /* sql */ `set ${pairs.map(([name, value]) => `${identifier(name)} = ${literal(value)}`).join(', ')}`,
      ),
  ];
  const names = [...settings, ...readonly].map(([name]) => name).toSorted();
  const key = JSON.stringify([
    request.database ?? '',
    request.roles.length > 0,
    names,
    [...request.parameters.keys()].toSorted(),
  ]);
  return { key, sql: statements.join('; '), names };
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
