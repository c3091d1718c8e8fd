#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { FrontOptions } from './server.js';

const USAGE = `usage: node main.js --path DIR --port N [--host 127.0.0.1] [--user default]
  [--tls-cert FILE --tls-key FILE] [--config FILE of the engine]
The password comes from PG2CLICK_FRONT_PASSWORD (empty by default). Port 0 means a free one.`;
const GRACE_MS = 5_000;
const WANTED_THREADS = 64;
const MIN_THREADS = 32;
// Spooling, gunzip and KILL QUERY must find a thread when every slot is taken.
const RESERVED_THREADS = 8;

const say = (text: string): void => void process.stderr.write(`clickhouse-front: ${text}\n`);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      path: { type: 'string' },
      port: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      user: { type: 'string', default: 'default' },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
      config: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const port = Number(values.port);
  if (values.help || values.path === undefined || !Number.isInteger(port) || port < 0 || port > 65_535) {
    process.stderr.write(`${USAGE}\n`);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  if (!(threads >= MIN_THREADS)) return againWithThreads();
  // Only now: loading the engine takes a moment and half a gigabyte.
  const { Front } = await import('./server.js');
  const front = await Front.start({
    directory: resolve(values.path),
    host: values.host,
    port,
    user: values.user,
    password: process.env['PG2CLICK_FRONT_PASSWORD'] ?? '',
    slots: threads - RESERVED_THREADS,
    tls: readTls(values['tls-cert'], values['tls-key']),
    config: values.config,
  });
  process.stdout.write(
    `clickhouse-front: ready at ${front.url} (ClickHouse ${front.version}, data in ${resolve(values.path)})\n`,
  );
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    // Leaving with a statement still in the engine would wait for it for ever, in the library's own exit handler.
    void front.stop(GRACE_MS).then((quiet) => (quiet ? process.exit(0) : process.kill(process.pid, 'SIGKILL')));
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  // Started by ourselves (below): when the parent dies in any way, so do we, or the data directory would stay locked.
  if (process.send !== undefined) process.once('disconnect', stop);
}

function readTls(cert: string | undefined, key: string | undefined): FrontOptions['tls'] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new Error('--tls-cert and --tls-key go together');
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

/** libuv reads the size of its thread pool once, and loading this very file used the pool: so another process. */
function againWithThreads(): void {
  const child = spawn(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(WANTED_THREADS) },
    },
  );
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => child.kill(signal));
  child.once('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
}

main().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
});
