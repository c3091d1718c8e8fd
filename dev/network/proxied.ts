import type { StackAddresses, StackTls } from '../stack/server.js';
import { openPlainDoor, type PlainDoor } from './plain-door.js';
import { openProxy, type Proxy } from './proxy.js';

export interface Proxies {
  readonly postgres: Proxy;
  readonly kafka: Proxy;
  readonly clickhouse: Proxy;
  readonly temporal: Proxy;
}

/**
 * A proxy before each server. The proxies look at what goes by, so a secure stack's TLS begins behind them.
 * @returns them, the addresses of a client that goes through them, and what closes them all
 */
export async function proxied(servers: StackAddresses): Promise<{
  readonly proxies: Proxies;
  readonly addresses: StackAddresses;
  readonly close: () => Promise<void>;
}> {
  const doors: PlainDoor[] = [];
  const behind = async (
    server: { readonly host: string; readonly port: number },
    ssl: StackTls | undefined,
    postgres = false,
  ): Promise<{ host: string; port: number }> => {
    if (ssl === undefined) return { host: server.host, port: server.port };
    const door = await openPlainDoor({ port: server.port, ca: ssl.ca, postgres });
    doors.push(door);
    return { host: '127.0.0.1', port: door.port };
  };
  const broker = hostAndPort(servers.kafka.bootstrap);
  const web = new URL(servers.clickhouse.url);
  const proxies: Proxies = {
    postgres: await openProxy(await behind(servers.postgres, servers.postgres.ssl, true)),
    kafka: await openProxy({ ...(await behind(broker, servers.kafka.ssl)), kafkaPort: broker.port }),
    clickhouse: await openProxy(await behind({ host: web.hostname, port: Number(web.port) }, servers.clickhouse.ssl)),
    temporal: await openProxy(await behind(hostAndPort(servers.temporal.address), servers.temporal.ssl)),
  };
  const { ssl: _postgres, ...postgres } = servers.postgres;
  const { ssl: _kafka, ...kafka } = servers.kafka;
  const { ssl: _clickhouse, ...clickhouse } = servers.clickhouse;
  const { ssl: _temporal, ...temporal } = servers.temporal;
  return {
    proxies,
    addresses: {
      postgres: { ...postgres, port: proxies.postgres.port },
      kafka: { ...kafka, bootstrap: addressOf(proxies.kafka) },
      clickhouse: { ...clickhouse, url: `http://${addressOf(proxies.clickhouse)}` },
      temporal: { ...temporal, address: addressOf(proxies.temporal) },
    },
    close: async () => {
      for (const each of [...Object.values(proxies), ...doors]) await each.close();
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
