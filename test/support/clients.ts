import type { ClickHouseClientConfigOptions } from '@clickhouse/client';
import type { TLSConfig } from '@temporalio/client';
import type { KafkaConfig } from 'kafkajs';
import type { StackAddresses } from '../../dev/stack/stack.js';
import { settingsOf } from '../../dev/stack/stack-settings.js';

/*
 * How clients take the addresses of a stack, secure or not. `pg` takes an address as it is; what a test starts by settings
 * takes `environmentOf(addresses)`.
 */

/** The environment in which pg2click finds these servers. */
export function environmentOf(addresses: Partial<StackAddresses>): Record<string, string> {
  const written = Object.values(settingsOf(addresses)).flatMap((values) => Object.entries(values));
  return Object.fromEntries(written.filter(([, value]) => value !== ''));
}

/** For `createClient`. */
export function clickhouseOptions({
  url,
  user,
  password,
  ssl,
}: StackAddresses['clickhouse']): ClickHouseClientConfigOptions {
  return { url, username: user, password, ...(ssl === undefined ? {} : { tls: { ca_cert: Buffer.from(ssl.ca) } }) };
}

/** For `new Kafka`. */
export function kafkaOptions({ bootstrap, ssl, sasl }: StackAddresses['kafka']): KafkaConfig {
  return {
    brokers: bootstrap.split(','),
    ...(ssl === undefined ? {} : { ssl: { ca: ssl.ca } }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
  };
}

/** For `Connection.connect` and `NativeConnection.connect`. */
export function temporalOptions({ address, ssl }: StackAddresses['temporal']): { address: string; tls?: TLSConfig } {
  if (ssl === undefined) return { address };
  return { address, tls: { serverRootCACertificate: Buffer.from(ssl.ca), serverNameOverride: 'localhost' } };
}
