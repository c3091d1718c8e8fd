export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port` in two; `[::1]:80` without its brackets. Without a port it is `defaultPort`. */
export function splitHostPort(address: string, defaultPort = Number.NaN): HostPort {
  const [, host = '', port] = /^\[?(.*?)\]?(?::(\d+))?$/u.exec(address) ?? [];
  return { host, port: port === undefined ? defaultPort : Number(port) };
}
