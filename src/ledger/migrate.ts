import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { packageRoot } from '../package-root.js';

/** Any number that nobody else takes as an advisory lock: "pg2click" on a telephone's keys. */
const MIGRATION_LOCK = 7_422_5425;

/** Numbered files of SQL, each of which is applied once to a database. */
interface Migrations {
  readonly folder: string;
  /** Before the names in `pg2click.migration`: one database may have both kinds. */
  readonly prefix: string;
}

const LEDGER: Migrations = { folder: join(packageRoot, 'sql', 'postgres'), prefix: '' };
const SOURCE: Migrations = { folder: join(packageRoot, 'sql', 'source'), prefix: 'source/' };

/**
 * Brings schema `pg2click` to the newest form: the numbered files of `sql/postgres`, each once, all in one transaction.
 * Harmless to run again, and from several processes at once.
 * @returns the names of the files that were applied now
 */
export function migrateLedger(pg: ClientBase): Promise<string[]> {
  return migrate(pg, LEDGER);
}

/** The same for what a source needs whose ledger lies in another database: `sql/source`. */
export function migrateSource(pg: ClientBase): Promise<string[]> {
  return migrate(pg, SOURCE);
}

/** The files of this release that were not applied to the ledger. */
export function missingMigrations(pg: ClientBase): Promise<string[]> {
  return missingOf(pg, LEDGER);
}

/** The same for a source whose ledger lies in another database; `applied`: how many of its files were. */
export async function readSourceMigrations(pg: ClientBase): Promise<{ applied: number; missing: string[] }> {
  const missing = await missingOf(pg, SOURCE);
  return { applied: (await listFiles(SOURCE)).length - missing.length, missing };
}

async function migrate(pg: ClientBase, migrations: Migrations): Promise<string[]> {
  await pg.query('begin');
  try {
    await pg.query(/* sql */ `select pg_advisory_xact_lock($1)`, [MIGRATION_LOCK]);
    const { schema, migration } = await look(pg);
    if (!schema) await pg.query(/* sql */ `create schema pg2click`);
    if (!migration)
      await pg.query(/* sql */ `create table if not exists pg2click.migration
        (name text primary key, applied_at timestamptz not null default now())`);
    const missing = await missingOf(pg, migrations);
    for (const name of missing) {
      await pg.query(await readFile(join(migrations.folder, name.slice(migrations.prefix.length)), 'utf8'));
      await pg.query(/* sql */ `insert into pg2click.migration (name) values ($1)`, [name]);
    }
    await pg.query('commit');
    return missing;
  } catch (error) {
    await pg.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function listFiles({ folder, prefix }: Migrations): Promise<string[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{3}-.*\.sql$/u.test(file)).toSorted();
  return files.map((file) => `${prefix}${file}`);
}

async function missingOf(pg: ClientBase, migrations: Migrations): Promise<string[]> {
  const names = await listFiles(migrations);
  const { migration } = await look(pg);
  if (!migration) return names;
  const done = await pg.query<{ name: string }>(/* sql */ `select name from pg2click.migration`);
  const known = new Set(done.rows.map((row) => row.name));
  return names.filter((name) => !known.has(name));
}

/** What is there already is not even asked for: "if not exists" takes the right to make it, too. */
async function look(pg: ClientBase): Promise<{ schema: boolean; migration: boolean }> {
  const found = await pg.query<{
    schema: boolean;
    migration: boolean;
  }>(/* sql */ `select n.oid is not null as schema, c.oid is not null as migration
      from (select) one
      left join pg_catalog.pg_namespace n on n.nspname = 'pg2click'
      left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'migration'`);
  return found.rows[0] ?? { schema: false, migration: false };
}
