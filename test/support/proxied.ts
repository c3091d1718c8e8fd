import type { StackAddresses } from '../../src/embedded/stack.js';
import { openProxy, type Proxy } from './proxy.js';

export interface Proxies {
  readonly postgres: Proxy;
  readonly kafka: Proxy;
  readonly clickhouse: Proxy;
  readonly temporal: Proxy;
}

/** A proxy before each server. @returns them, and the addresses of a client that goes through them */
export async function proxied(servers: StackAddresses): Promise<{ proxies: Proxies; addresses: StackAddresses }> {
  const clickhouse = new URL(servers.clickhouse.url);
  const proxies: Proxies = {
    postgres: await openProxy(servers.postgres),
    kafka: await openProxy({ ...hostAndPort(servers.kafka.bootstrap), kafka: true }),
    clickhouse: await openProxy({ host: clickhouse.hostname, port: Number(clickhouse.port) }),
    temporal: await openProxy(hostAndPort(servers.temporal.address)),
  };
  clickhouse.port = String(proxies.clickhouse.port);
  return {
    proxies,
    addresses: {
      postgres: { ...servers.postgres, port: proxies.postgres.port },
      kafka: { bootstrap: addressOf(proxies.kafka) },
      clickhouse: { ...servers.clickhouse, url: clickhouse.href.replace(/\/$/u, '') },
      temporal: { ...servers.temporal, address: addressOf(proxies.temporal) },
    },
  };
}

function hostAndPort(address: string): { host: string; port: number } {
  const [host = '', port] = address.split(':');
  return { host, port: Number(port) };
}

function addressOf({ host, port }: Proxy): string {
  return `${host}:${port}`;
}
