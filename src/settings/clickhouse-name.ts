/** What may be said of another ClickHouse server: `CH_URL_EU`, `CH_PASSWORD_EU`, `CH_TLS_CA_EU`. */
const NAMED = /^CH_(?<what>URL|PASSWORD|TLS_CA)_(?<server>[A-Z0-9]+(?:_[A-Z0-9]+)*?)(?<file>_FILE)?$/u;
/** `CH_PASSWORD_FILE` is the file of `CH_PASSWORD`, and no password of a server "file". */
const RESERVED = 'FILE';

export interface ServerName {
  readonly what: 'URL' | 'PASSWORD' | 'TLS_CA';
  /** As loaders name it: lower case. */
  readonly server: string;
}

/** Reads the name of a setting of another ClickHouse server, or of the file of its secret; undefined for any other name. */
export function parseServerName(name: string): ServerName | undefined {
  const { what, server, file } = NAMED.exec(name)?.groups ?? {};
  if (what === undefined || server === undefined || server === RESERVED) return undefined;
  if (file !== undefined && what === 'TLS_CA') return undefined;
  return { what: what as ServerName['what'], server: server.toLowerCase() };
}

export function isServerSecret(name: string): boolean {
  const what = parseServerName(name)?.what;
  return (what === 'URL' || what === 'PASSWORD') && !name.endsWith('_FILE');
}

/** The setting that says where the server is. */
export function urlNameOf(server: string): string {
  return `CH_URL_${server.toUpperCase()}`;
}
