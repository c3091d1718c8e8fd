import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClickHouseLogLevel, createClient, type ClickHouseClient } from '@clickhouse/client';
import type { ClickHouseClientConfigOptions } from '@clickhouse/client';
import { packageRoot } from '../../src/package-root.js';

const MAIN = join(packageRoot, 'dist', 'dev', 'clickhouse-front', 'main.js');
const PASSWORD = 'front-test';

/** A front of the test's own, from the build, over a folder of its own. */
export interface TestFront {
  readonly url: string;
  readonly directory: string;
  readonly pid: number;
  readonly password: string;
  /** A client that is closed with the front. */
  client(options?: ClickHouseClientConfigOptions): ClickHouseClient;
  /** Sends a signal and waits for the end; the folder stays. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Ends it in any case, and removes the folder. */
  dispose(): Promise<void>;
}

export interface FrontSpawn {
  /** An existing folder; a new one otherwise. */
  readonly directory?: string;
  readonly threads?: number;
  /** More arguments, and variables. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export async function startFront({
  directory,
  threads = 32,
  args = [],
  env = {},
}: FrontSpawn = {}): Promise<TestFront> {
  if (!existsSync(MAIN)) throw new Error(`There is no ${MAIN}: run npm run build first`);
  const path = directory ?? mkdtempSync(join(tmpdir(), 'clickhouse-front-'));
  const process = spawnFront(path, threads, ['--port', '0', ...args], env);
  const exited = once(process, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  const url = await readyUrl(process);
  const clients: ClickHouseClient[] = [];
  const end: TestFront['end'] = async (signal) => {
    process.kill(signal);
    const [code, by] = await exited;
    return { code, signal: by };
  };
  return {
    url,
    directory: path,
    pid: process.pid ?? 0,
    password: PASSWORD,
    client: (options = {}) => {
      const client = createClient({
        url,
        password: PASSWORD,
        max_open_connections: 64,
        log: { level: ClickHouseLogLevel.OFF },
        ...options,
      });
      clients.push(client);
      return client;
    },
    end,
    dispose: async () => {
      await Promise.all(clients.map(async (client) => client.close()));
      if (process.exitCode === null && process.signalCode === null) await end('SIGKILL');
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Starts a front without waiting for it: its output is the caller's. */
export function spawnFront(
  directory: string,
  threads: number,
  args: readonly string[] = ['--port', '0'],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  return spawn(process.execPath, [MAIN, '--path', directory, ...args], {
    env: { ...process.env, ...env, PG2CLICK_FRONT_PASSWORD: PASSWORD, UV_THREADPOOL_SIZE: String(threads) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function readyUrl(process: ChildProcess): Promise<string> {
  let seen = '';
  return new Promise((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      seen += chunk.toString('utf8');
      const url = /ready at (http:\S+)/.exec(seen)?.[1];
      if (url !== undefined) resolve(url);
    };
    process.stdout?.on('data', read);
    process.stderr?.on('data', read);
    process.once('exit', () => reject(new Error(`The front ended before it was ready: ${seen}`)));
  });
}

/**
 * Sends exactly these bytes over a socket; resolves with the answer when the connection is closed: by us at once where
 * the body is `cutShort`, else by the front (`Connection: close`).
 */
export async function sendRaw(url: string, head: readonly string[], body: Buffer, cutShort: boolean): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString('latin1'))).on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(`${[...head, 'Connection: close'].join('\r\n')}\r\n\r\n`);
  if (cutShort) socket.end(body);
  else socket.write(body);
  await once(socket, 'close');
  return answer;
}

/** A plain request, for what the client does not show: status, headers, and the bytes of the body. */
export async function plainRequest(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer | string } = {},
): Promise<{ status: number; headers: Record<string, string | undefined>; body: Buffer }> {
  const message = httpRequest(url, { method: options.method ?? 'POST', headers: options.headers ?? {}, agent: false });
  message.end(options.body);
  const [response] = (await once(message, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers as Record<string, string | undefined>,
    body: Buffer.concat(chunks),
  };
}

/** The most memory that a process ever held, in megabytes; undefined where there is no /proc. */
export function peakMegabytes(pid: number): number | undefined {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return undefined;
  }
}

/** One row of a query. */
export async function oneRow<Row>(client: ClickHouseClient, query: string): Promise<Row> {
  const result = await client.query({ query, format: 'JSONEachRow' });
  const [row] = await result.json<Row>();
  if (row === undefined) throw new Error(`No row came from: ${query}`);
  return row;
}
