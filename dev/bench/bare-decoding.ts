import { connectPostgres } from '../../src/connect/postgres.js';
import type { Lsn } from '../../src/source/wal/lsn.js';
import { startReplication, type StreamReceiver } from '../../src/source/wal/replication-stream.js';
import type { BenchEnvironment } from './environment.js';

const INSERT = 0x49;
const COMMIT = 0x43;
const REPORT_EVERY_MS = 1_000;

/** A reader of a slot of its own, which looks at each message and decodes none. */
export interface BareReader extends AsyncDisposable {
  /** Resolves at the commit after which so many rows were inserted. Rejects if the stream ends before. */
  inserted(rows: number): Promise<void>;
}

/** Makes a publication and a slot under the table's name, from which nothing was read yet. @returns what drops both */
export async function makeSlot({ postgres }: BenchEnvironment, table: string): Promise<() => Promise<void>> {
  await postgres.query(/* sql */ `create publication ${table} for table ${table}`);
  await postgres.query(/* sql */ `select pg_create_logical_replication_slot('${table}', 'pgoutput')`);
  return async () => {
    await postgres.query(/* sql */ `select pg_drop_replication_slot('${table}')`);
    await postgres.query(/* sql */ `drop publication ${table}`);
  };
}

/** Starts to read the slot that `makeSlot` made. */
export async function readSlot({ settings, signal }: BenchEnvironment, table: string): Promise<BareReader> {
  const client = await connectPostgres(settings, { name: 'bench wal', replication: true, signal });
  let found = 0;
  let end: Lsn = 0n;
  let awaited: { readonly rows: number; readonly reach: () => void } | undefined;
  const receiver: StreamReceiver = {
    started: () => undefined,
    change(buffer, start) {
      if (buffer[start] === INSERT) found += 1;
      if (buffer[start] !== COMMIT) return undefined;
      end = buffer.readBigUInt64BE(start + 10);
      if (awaited !== undefined && found >= awaited.rows) awaited.reach();
      return undefined;
    },
    keepalive: () => undefined,
  };
  const stream = startReplication(client, table, receiver);
  const reporting = setInterval(() => stream.report(end), REPORT_EVERY_MS);
  return {
    async inserted(rows) {
      const reached = new Promise<void>((reach) => (awaited = { rows, reach }));
      const early = stream.ended.then(() => {
        throw new Error(`The stream of ${table} ended after ${found} of ${rows} rows`);
      });
      if (found < rows) await Promise.race([reached, early]);
    },
    async [Symbol.asyncDispose]() {
      clearInterval(reporting);
      stream.stop();
      await stream.ended;
      await client[Symbol.asyncDispose]();
    },
  };
}
