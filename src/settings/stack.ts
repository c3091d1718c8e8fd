import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { Failure } from '../failure/failure.js';
import type { Written, WrittenSettings } from './layer.js';
import { isAlive } from './process-identity.js';
import { SERVER_NAMES, type ServerName } from './server-name.js';
import { isSettingName, type SettingName } from './table.js';

/** The settings that say where a server is: where one of them is written, the local stack's server is not used. */
const ADDRESS_NAMES: Readonly<Record<ServerName, readonly SettingName[]>> = {
  postgres: ['PG_URL', 'PG_HOST', 'PG_PORT'],
  kafka: ['KAFKA_BOOTSTRAP'],
  clickhouse: ['CH_URL', 'CH_HOST', 'CH_PORT'],
  temporal: ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'],
};

/** Who says where a server is: the user's settings, a running local stack, or nobody. */
export type AddressOrigin = 'written' | 'stack' | 'default';

export function originOf(server: ServerName, written: WrittenSettings, fromStack: WrittenSettings): AddressOrigin {
  const names = ADDRESS_NAMES[server];
  if (names.some((name) => written.has(name))) return 'written';
  return names.some((name) => fromStack.has(name)) ? 'stack' : 'default';
}

/**
 * Somebody who names a file of settings means its servers: one that it forgets must not be taken from the local stack that runs in
 * this folder.
 * @throws Failure `Misconfigured`
 */
export function refuseMixture(origins: Readonly<Record<ServerName, AddressOrigin>>, file: string): void {
  const servers = SERVER_NAMES.filter((server) => origins[server] === 'stack');
  if (servers.length === 0 || !Object.values(origins).includes('written')) return;
  const names = servers.map((server) => ADDRESS_NAMES[server][0]).join(', ');
  throw new Failure('Misconfigured', {
    message: `${file} does not say where these servers are, and a local stack runs in this folder: ${servers.join(', ')}.`,
    remedy: `Set ${names} there. To mean the local stack, set PG2CLICK_STACK_FILE=.pg2click/dev/stack.json.`,
  });
}

const processIdentity = z.object({ pid: z.number(), startTime: z.string() });

/** What a local stack publishes in `stack.json` for us; the rest of the file is its own. */
const published = z.object({
  /** The process that holds the stack, while one does. */
  owner: processIdentity.optional(),
  /** Its servers' processes: they outlive a killed `pg2click dev`, and the next one ends them. */
  children: z.record(z.string(), processIdentity).default({}),
  /** By server, what somebody would write in `.env` to use it. */
  settings: z.partialRecord(z.enum(SERVER_NAMES), z.record(z.string(), z.string())).optional(),
});

/**
 * The settings that a local stack publishes, for the servers whose address nobody wrote.
 * @param file a `stack.json`; `onlyRunning`: it counts only while its stack runs
 * @returns nothing where there is no such file
 * @throws Failure `Misconfigured` when it cannot be read, or is no file of this version
 */
export function readStack(file: { path: string; onlyRunning: boolean }, written: WrittenSettings): WrittenSettings {
  const stack = readPublished(file.path);
  if (stack === undefined || (file.onlyRunning && !isRunning(stack))) return new Map();
  if (stack.settings === undefined) throw notOurs(file.path);
  const found = new Map<SettingName, Written>();
  const where = `in ${file.path}`;
  for (const server of SERVER_NAMES) {
    if (ADDRESS_NAMES[server].some((name) => written.has(name))) continue;
    for (const [name, value] of Object.entries(stack.settings[server] ?? {}))
      if (isSettingName(name) && value !== '') found.set(name, { value, where });
  }
  return found;
}

function readPublished(path: string): z.infer<typeof published> | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Failure('Misconfigured', { message: `Cannot read ${path}.`, cause: error });
  }
  try {
    return published.parse(JSON.parse(text));
  } catch (error) {
    throw notOurs(path, error);
  }
}

function notOurs(path: string, cause?: unknown): Failure {
  return new Failure('Misconfigured', {
    message: `${path} is not a file that a local stack of this version wrote.`,
    remedy: 'Stop that stack and start it again with "pg2click dev", or remove the file.',
    cause,
  });
}

function isRunning({ owner, children }: z.infer<typeof published>): boolean {
  return [owner, ...Object.values(children)].some((each) => each !== undefined && isAlive(each));
}
