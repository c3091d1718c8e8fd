import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { packageRoot } from '../package-root.js';

/** Any number that nobody else takes as an advisory lock: "pg2click" on a telephone's keys. */
const MIGRATION_LOCK = 7_422_5425;

/**
 * Brings schema `pg2click` to the newest form: the numbered files of `sql/postgres`, each once, all in one transaction.
 * Harmless to run again, and from several processes at once.
 * @returns the names of the files that were applied now
 */
export async function migrateLedger(pg: ClientBase): Promise<string[]> {
  const folder = join(packageRoot, 'sql', 'postgres');
  const files = (await readdir(folder)).filter((file) => /^\d{3}-.*\.sql$/u.test(file)).toSorted();
  await pg.query('begin');
  try {
    await pg.query(/* sql */ `select pg_advisory_xact_lock($1)`, [MIGRATION_LOCK]);
    if (!(await isMigrated(pg))) {
      await pg.query(/* sql */ `create schema if not exists pg2click`);
      await pg.query(/* sql */ `create table if not exists pg2click.migration
        (name text primary key, applied_at timestamptz not null default now())`);
    }
    const done = await pg.query<{ name: string }>(/* sql */ `select name from pg2click.migration`);
    const known = new Set(done.rows.map((row) => row.name));
    const missing = files.filter((file) => !known.has(file));
    for (const file of missing) {
      await pg.query(await readFile(join(folder, file), 'utf8'));
      await pg.query(/* sql */ `insert into pg2click.migration (name) values ($1)`, [file]);
    }
    await pg.query('commit');
    return missing;
  } catch (error) {
    await pg.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** Whether the schema is there at all: lets a role without CREATE use a ledger that its administrator made. */
async function isMigrated(pg: ClientBase): Promise<boolean> {
  const found = await pg.query<{ found: boolean }>(
    /* sql */ `select to_regclass('pg2click.migration') is not null as found`,
  );
  return found.rows[0]?.found === true;
}
