import { randomBytes } from 'node:crypto';
import { createClient } from '@clickhouse/client';
import pg from 'pg';
import { afterAll, inject } from 'vitest';
import type { StackAddresses } from '../../dev/stack/stack.js';
import { clickhouseOptions } from './clients.js';
import './global-setup.js';
import type { ServerName } from '../../src/settings/server-name.js';

export { waitFor } from './wait-for.js';

/** The address of one server of the run's stack. */
export function addressOf<P extends ServerName>(server: P): StackAddresses[P] {
  const address = (inject('stack') as Partial<StackAddresses> | undefined)?.[server];
  if (address !== undefined) return address;
  throw new Error(
    `This run's stack has no ${server}: see PG2CLICK_TEST_STACK, or name the file *.${server}.test.ts or so.`,
  );
}

/** How to connect to a PostgreSQL database, as `pg` takes it. */
export type PostgresAddress = StackAddresses['postgres'];

/** A name that nothing else uses: lower case, at most `prefix` and 13 characters, valid in every server. */
export function freshName(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`;
}

/** The roles that `sql/roles` makes for a database, named after it: they belong to the whole server. */
export function leastRoleOf(database: string): string {
  return `${database}_least`;
}

export function readerRoleOf(database: string): string {
  return `${database}_reader`;
}

export function consumerRoleOf(database: string): string {
  return `${database}_consumer`;
}

/** Registered here, as the file is read: an `afterAll` that is called in a hook or a test is never run. */
const leavings: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const drop of leavings.splice(0)) await drop();
});

const ROLES = [leastRoleOf, readerRoleOf, consumerRoleOf];

/**
 * An empty PostgreSQL database, dropped after the file's tests with all connections to it, and with the roles made for it.
 * @param options of CREATE DATABASE
 */
export async function freshDatabase(prefix = 'test', options = ''): Promise<PostgresAddress> {
  const server = addressOf('postgres');
  const database = freshName(prefix);
  await administer(server, /* sql */ `create database ${database} ${options}`);
  leavings.push(async () => {
    // A database that has a replication slot cannot be dropped.
    await administer(
      server,
      /* sql */ `select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where database = '${database}' and active;
        select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '${database}'`,
    );
    await administer(server, /* sql */ `drop database if exists ${database} with (force)`);
    await administer(server, /* sql */ `drop role if exists ${ROLES.map((of) => of(database)).join(', ')}`);
  });
  return { ...server, database };
}

/** An empty ClickHouse database, dropped after the file's tests. */
export async function freshSink(prefix = 'test'): Promise<StackAddresses['clickhouse']> {
  const server = addressOf('clickhouse');
  const database = freshName(prefix);
  await command(server, /* sql */ `create database ${database}`);
  leavings.push(() => command(server, /* sql */ `drop database if exists ${database} sync`));
  return { ...server, database };
}

async function administer(server: PostgresAddress, statement: string): Promise<void> {
  const client = new pg.Client({ ...server });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function command(server: StackAddresses['clickhouse'], statement: string): Promise<void> {
  const client = createClient(clickhouseOptions(server));
  try {
    await client.command({ query: statement });
  } finally {
    await client.close();
  }
}
