import { dirname } from 'node:path';
import { isAlive } from '../embedded/child.js';
import { readStackFile, type StackFile } from '../embedded/stack-file.js';
import type { Part } from '../embedded/part.js';
import type { Written, WrittenSettings } from './layer.js';
import type { SettingName } from './table.js';

/** The settings that say where a server is: where one of them is written, the local stack's server is not used. */
const ADDRESS_NAMES: Readonly<Record<Part, readonly SettingName[]>> = {
  postgres: ['PG_URL', 'PG_HOST', 'PG_PORT'],
  kafka: ['KAFKA_BOOTSTRAP'],
  clickhouse: ['CH_URL', 'CH_HOST', 'CH_PORT'],
  temporal: ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'],
};

/** Who says where a server is: the user's settings, a running local stack, or nobody. */
export type PartOrigin = 'written' | 'stack' | 'default';

export function originOf(part: Part, written: WrittenSettings, fromStack: WrittenSettings): PartOrigin {
  const names = ADDRESS_NAMES[part];
  if (names.some((name) => written.has(name))) return 'written';
  return names.some((name) => fromStack.has(name)) ? 'stack' : 'default';
}

/**
 * The addresses of a local stack, for the servers whose address nobody wrote.
 * @param file path of a `stack.json` that is used whatever it says of its processes, or a folder's that counts only while
 *   the stack runs
 */
export function readStack(file: { path: string; onlyRunning: boolean }, written: WrittenSettings): WrittenSettings {
  const stack = readStackFile(dirname(file.path));
  if (stack === undefined || (file.onlyRunning && !isRunning(stack))) return new Map();
  const found = new Map<SettingName, Written>();
  const where = `in ${file.path}`;
  const put = (part: Part, values: Partial<Record<SettingName, string | undefined>>): void => {
    if (ADDRESS_NAMES[part].some((name) => written.has(name))) return;
    for (const [name, value] of Object.entries(values))
      if (value !== undefined && value !== '') found.set(name as SettingName, { value, where });
  };
  const { postgres, kafka, clickhouse, temporal } = stack.addresses;
  if (postgres !== undefined) {
    put('postgres', {
      PG_HOST: postgres.host,
      PG_PORT: String(postgres.port),
      PG_DB: postgres.database,
      PG_USER: postgres.user,
      PG_PASSWORD: postgres.password,
    });
  }
  if (kafka !== undefined) put('kafka', { KAFKA_BOOTSTRAP: kafka.bootstrap });
  if (clickhouse !== undefined) {
    const { hostname, port } = new URL(clickhouse.url);
    put('clickhouse', {
      CH_HOST: hostname,
      CH_PORT: port === '' ? '80' : port,
      CH_DB: clickhouse.database,
      CH_USER: clickhouse.user,
      CH_PASSWORD: clickhouse.password,
    });
  }
  if (temporal !== undefined) {
    put('temporal', {
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      PG2CLICK_UI_URL: temporal.uiUrl,
    });
  }
  return found;
}

/** Servers outlive a killed `pg2click dev`, and the next one takes them over. */
function isRunning(stack: StackFile): boolean {
  return [stack.owner, ...Object.values(stack.children)].some((process) => process !== undefined && isAlive(process));
}
