import { SERVER_NAMES } from '../../src/settings/server-name.js';
import type { Settings } from '../../src/settings/settings.js';
import type { StackAddresses } from './server.js';

/** The servers whose address the user wrote. */
export function externalServers(settings: Settings): Partial<StackAddresses> {
  const { postgres, kafka, clickhouse, temporal } = settings;
  const addresses: StackAddresses = {
    postgres: { ...postgres, password: postgres.password.reveal() },
    kafka: { bootstrap: kafka.brokers.join(',') },
    clickhouse: { ...clickhouse, password: clickhouse.password.reveal() },
    temporal: { address: temporal.address, namespace: temporal.namespace, uiUrl: temporal.uiUrl ?? '' },
  };
  return Object.fromEntries(
    SERVER_NAMES.filter((server) => settings.origins[server] === 'written').map((server) => [
      server,
      addresses[server],
    ]),
  );
}
