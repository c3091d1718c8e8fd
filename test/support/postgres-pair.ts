import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { openProxy } from '../../dev/network/proxy.js';
import type { PostgresAddress } from './stack.js';
import { waitFor } from './wait-for.js';
import { freePort } from './worker-endpoints.js';

const DEADLINE_MS = 60_000;
const COPIES_SLOTS = 170_000;

/** A server, and a standby of it. */
export interface PostgresPair {
  /** Clients that follow the primary, wherever it is. */
  readonly address: PostgresAddress;
  /** The standby itself. */
  readonly standby: PostgresAddress;
  /**
   * Waits until the standby has all that was committed, and a slot of the primary.
   * @param read reads from that slot: a standby keeps its copy when the slot has moved on since it was made. Absent: there is no slot
   */
  catchUp(read?: () => Promise<unknown>): Promise<void>;
  /** From now on the standby gets nothing. */
  isolate(): Promise<void>;
  /** Kills the standby, and starts it again. */
  restartStandby(): Promise<void>;
  /** Kills the primary, and makes the standby the primary. */
  failOver(): Promise<void>;
  close(): Promise<void>;
}

/** @param primary a server of the test's own, as a superuser */
export async function openPair(primary: PostgresAddress): Promise<PostgresPair> {
  const own = new pg.Client(primary);
  own.on('error', () => undefined);
  await own.connect();
  const { directory } = (
    await own.query<{ directory: string }>(`select setting as directory from pg_settings where name = 'data_directory'`)
  ).rows[0] ?? { directory: '' };
  const [pid = ''] = readFileSync(join(directory, 'postmaster.pid'), 'utf8').split('\n');
  const program = readlinkSync(`/proc/${pid}/exe`);
  const { uid, gid } = statSync(directory);
  const link = await openProxy(primary);
  const front = await openProxy(primary);
  await own.query(`select pg_create_physical_replication_slot('standby', true)`);
  await own.query(`select pg_backup_start('pair', true)`);
  const copy = `${directory}-standby`;
  execFileSync('cp', ['--archive', directory, copy]);
  const { label } = (await own.query<{ label: string }>(`select labelfile as label from pg_backup_stop(false)`))
    .rows[0] ?? { label: '' };
  rmSync(join(copy, 'postmaster.pid'), { force: true });
  writeFileSync(join(copy, 'backup_label'), label);
  writeFileSync(join(copy, 'standby.signal'), '');
  const port = await freePort();
  const { version } = (
    await own.query<{ version: number }>(`select current_setting('server_version_num')::int as version`)
  ).rows[0] ?? { version: 0 };
  const { user, password, database } = primary;
  appendFileSync(
    join(copy, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${link.port} user=${user} password=${password} dbname=${database}'
primary_slot_name = 'standby'
hot_standby_feedback = on
${version < COPIES_SLOTS ? '' : 'sync_replication_slots = on'}
`,
  );
  const settings = (
    await own.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings where name in ('max_connections', 'max_wal_senders', 'max_prepared_transactions', 'max_replication_slots', 'wal_level')`,
    )
  ).rows;
  execFileSync('chown', ['--recursive', `${uid}:${gid}`, copy]);
  const start = () =>
    spawn(
      program,
      [
        '-D',
        copy,
        '-p',
        String(port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        'unix_socket_directories=',
        ...settings.flatMap(({ name, setting }) => ['-c', `${name}=${setting}`]),
      ],
      { uid, gid, cwd: copy, stdio: 'ignore' },
    );
  let standby = start();
  let gone = once(standby, 'exit');
  const stop = async (): Promise<void> => {
    standby.kill('SIGQUIT');
    await gone;
  };
  const other = async (): Promise<pg.Client> => {
    const client = new pg.Client({ ...primary, port });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  let there: pg.Client | undefined;
  const meet = () =>
    waitFor(async () => (there = await other().catch(() => undefined)) !== undefined, {
      deadlineMs: DEADLINE_MS,
      what: 'the standby answers',
    });
  await meet();
  const ask = async <T extends pg.QueryResultRow>(sql: string): Promise<T | undefined> =>
    (await there?.query<T>(sql))?.rows[0];
  return {
    address: { ...primary, host: front.host, port: front.port },
    standby: { ...primary, port },
    async catchUp(read) {
      await waitFor(
        async (see) => {
          await own.query(`select pg_log_standby_snapshot()`);
          await read?.();
          const { lsn } = (await own.query<{ lsn: string }>(`select pg_current_wal_flush_lsn() as lsn`)).rows[0] ?? {
            lsn: '',
          };
          const found = await ask<{ replayed: boolean; slots: readonly { synced: boolean; temporary: boolean }[] }>(
            `select pg_last_wal_replay_lsn() >= '${lsn}' as replayed,
              (select json_agg(s) from pg_replication_slots s where slot_type = 'logical') as slots`,
          );
          see(found);
          const hasSlots = read === undefined || found?.slots?.every(({ synced, temporary }) => synced && !temporary);
          return found?.replayed === true && hasSlots;
        },
        { deadlineMs: DEADLINE_MS, what: 'the standby has everything' },
      );
    },
    isolate: () => link.refuse(),
    async restartStandby() {
      await there?.end().catch(() => undefined);
      await stop();
      standby = start();
      gone = once(standby, 'exit');
      await meet();
    },
    async failOver() {
      process.kill(Number(pid), 'SIGQUIT');
      await waitFor(() => Promise.resolve(!existsSync(`/proc/${pid}`)), {
        deadlineMs: DEADLINE_MS,
        what: 'the primary is gone',
      });
      await ask(`select pg_promote()`);
      front.redirect(port);
    },
    async close() {
      await there?.end().catch(() => undefined);
      await own.end().catch(() => undefined);
      await stop();
      await link.close();
      await front.close();
      rmSync(copy, { recursive: true, force: true });
    },
  };
}
