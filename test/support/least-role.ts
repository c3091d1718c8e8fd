import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { packageRoot } from '../../src/package-root.js';
import { leastRoleOf, type PostgresAddress } from './stack.js';

/** A script of `sql/roles`, with the names at its top set. */
export function roleScriptFor(file: string, names: Readonly<Record<string, string>>): string {
  const script = readFileSync(join(packageRoot, 'sql', 'roles', file), 'utf8');
  return Object.entries(names).reduce((text, [setting, name]) => {
    const named = text.replace(new RegExp(`^set local pg2click\\.${setting} = '\\w+';$`, 'mu'), () => {
      return `set local pg2click.${setting} = '${name}';`;
    });
    if (named === text) throw new Error(`${file} has no line that sets pg2click.${setting}`);
    return named;
  }, script);
}

/**
 * Makes the role that pg2click is documented to connect as, by the administrator's script, and grants it what it needs of
 * every table that the database's owner makes from now on.
 * @param owner a superuser's address of a database of this test only; `freshDatabase` drops the role with it
 * @returns the same database, for that role
 */
export async function leastRole(owner: PostgresAddress): Promise<PostgresAddress> {
  const role = leastRoleOf(owner.database);
  const password = randomBytes(12).toString('hex');
  const client = new pg.Client(owner);
  await client.connect();
  try {
    await client.query(roleScriptFor('postgres.sql', { role }));
    await client.query(/* sql */ `
      alter role ${role} password '${password}';
      alter default privileges grant usage on schemas to ${role};
      alter default privileges grant select, trigger on tables to ${role}`);
  } finally {
    await client.end();
  }
  return { ...owner, user: role, password };
}

/** Lets the role that `leastRole` made capture from the WAL. @param owner as for `leastRole` */
export async function letReadWal(owner: PostgresAddress): Promise<void> {
  const client = new pg.Client(owner);
  await client.connect();
  try {
    await client.query(roleScriptFor('postgres-wal.sql', { role: leastRoleOf(owner.database) }));
  } finally {
    await client.end();
  }
}

/**
 * A role that may read the tables and sequences that the database's owner makes from now on, and nothing else: it owns nothing.
 * @param owner as for `leastRole`
 */
export async function selectRole(owner: PostgresAddress): Promise<PostgresAddress> {
  const role = leastRoleOf(owner.database);
  const password = randomBytes(12).toString('hex');
  const client = new pg.Client(owner);
  await client.connect();
  try {
    await client.query(/* sql */ `
      create role ${role} login password '${password}';
      alter default privileges grant usage on schemas to ${role};
      alter default privileges grant select on tables to ${role};
      alter default privileges grant select on sequences to ${role}`);
  } finally {
    await client.end();
  }
  return { ...owner, user: role, password };
}

/** As `leastRole` in the database of a ledger that lies elsewhere, for the value of LEDGER_PG_URL. */
export async function ledgerRole(owner: PostgresAddress): Promise<string> {
  const role = leastRoleOf(owner.database);
  const password = randomBytes(12).toString('hex');
  const client = new pg.Client(owner);
  await client.connect();
  try {
    await client.query(roleScriptFor('ledger.sql', { role }));
    await client.query(/* sql */ `alter role ${role} password '${password}'`);
  } finally {
    await client.end();
  }
  return `postgres://${role}:${password}@${owner.host}:${owner.port}/${owner.database}`;
}
