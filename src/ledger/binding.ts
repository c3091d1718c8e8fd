import { readDatabaseIdentity, type DatabaseIdentity } from '../connect/database-identity.js';
import type { Databases } from '../connect/databases.js';
import type { Queryable } from '../connect/queryable.js';
import { plural } from '../domain/figures.js';
import { Failure } from '../failure/failure.js';
import { query } from './query.js';

/*
 * A ledger numbers its tables, and these numbers name the outboxes in the source. Two ledgers of one source would share outboxes,
 * and two sources of one ledger the names of tables. So a ledger that lies elsewhere serves one source: each of the two
 * databases says who the other one is.
 */

interface LedgerRow {
  readonly id: string;
  readonly source: DatabaseIdentity | null;
  readonly tables: number;
}

interface SourceRow {
  /** It has what outboxes need. */
  readonly isPrepared: boolean;
  /** The ledger that its outboxes belong to, once that is known. */
  readonly bound: string | null;
  /** Tables of a ledger of its own. */
  readonly tables: number;
}

const LEDGER_ROW = /* sql */ `select id::text, source, (select count(*)::int from pg2click.replicated_table) as tables
  from pg2click.ledger`;

/**
 * Makes sure that a ledger elsewhere and this source belong together.
 * @param options `bind`: where neither has said so yet, both do from now on; `outboxes`: whether the source has what outboxes need;
 * `seen`: look whether it has. A role that may only read makes no outboxes, and the source then knows of no ledger
 * @throws Failure `Misconfigured`: one sentence that names both sides
 */
export async function bindLedger(
  ledger: Queryable,
  source: Queryable,
  { bind, outboxes }: { readonly bind: boolean; readonly outboxes: boolean | 'seen' },
): Promise<void> {
  const [own, there] = [await readDatabaseIdentity(source), await readDatabaseIdentity(ledger)];
  if (isSame(own, there))
    refuse(`LEDGER_PG_URL names the database "${own.database}" of the tables itself.`, 'Remove it.');
  // All that can be refused is refused before anything is written.
  if (outboxes !== false)
    await requireFreeOutboxes(source, (await one<LedgerRow>(ledger, LEDGER_ROW))?.id, { own, there });
  if (bind)
    await query(
      ledger,
      /* sql */ `update pg2click.ledger set source = $1::jsonb
      where source is null and not exists (select from pg2click.replicated_table)`,
      [JSON.stringify(own)],
    );
  const row = await one<LedgerRow>(ledger, LEDGER_ROW);
  if (row?.source === null && row.tables > 0) refuseOther(there, `the tables of its own database`);
  if (row?.source !== null && row?.source !== undefined && !isSame(row.source, own))
    refuseOther(there, `the source database "${row.source.database}" (server ${row.source.server})`);
  if (row === undefined || row.source === null)
    refuse(`The ledger in the database "${there.database}" does not know its source yet.`, 'Run "pg2click init".');
  if (outboxes === true || (outboxes === 'seen' && (await readSource(source)).isPrepared))
    await bindOutboxes(source, row.id, { bind, own, there });
}

interface Sides {
  readonly own: DatabaseIdentity;
  readonly there: DatabaseIdentity;
}

/** @returns the ledger that the outboxes belong to, if any */
async function requireFreeOutboxes(
  source: Queryable,
  ledgerId: string | undefined,
  { own, there }: Sides,
): Promise<string | null> {
  const { bound, tables } = await readSource(source);
  if (tables > 0)
    refuse(
      `The database "${own.database}" of the tables has a ledger of its own, with ${plural(tables, 'table')}.`,
      'Take LEDGER_PG_URL out of the settings. To move to a ledger elsewhere, remove the tables without it first.',
    );
  if (bound !== null && bound !== ledgerId)
    refuse(
      `The outboxes in the database "${own.database}" belong to another ledger than the one in the database "${there.database}".`,
      'Name that ledger in LEDGER_PG_URL. If it is lost, drop the schema pg2click of the database with the tables, which takes our triggers off, and run "pg2click init"; then add the tables again.',
    );
  return bound;
}

async function bindOutboxes(
  source: Queryable,
  ledgerId: string,
  { bind, ...sides }: Sides & { readonly bind: boolean },
): Promise<void> {
  if (bind)
    await query(source, /* sql */ `insert into pg2click.bound_ledger (id) values ($1) on conflict (one) do nothing`, [
      ledgerId,
    ]);
  if ((await requireFreeOutboxes(source, ledgerId, sides)) === null)
    refuse(`The database "${sides.own.database}" of the tables does not know its ledger yet.`, 'Run "pg2click init".');
}

/**
 * For a command: a wrong or forgotten LEDGER_PG_URL would show every table as empty, and remove one whose positions it does not
 * know. What the role may not see is not checked.
 * @throws Failure `Misconfigured`
 */
export async function requirePair({ ledger, source }: Databases): Promise<void> {
  const check =
    ledger === source ? requireOwnLedger(source) : bindLedger(ledger, source, { bind: false, outboxes: 'seen' });
  await check.catch(passIfHidden);
}

const INSUFFICIENT_PRIVILEGE = '42501';

/** A role of fewer rights, a consumer's for example, may not see who belongs to whom: others check it. */
export function passIfHidden(error: unknown): void {
  const cause = error instanceof Failure ? (error.cause as { code?: unknown } | undefined) : undefined;
  if (cause?.code !== INSUFFICIENT_PRIVILEGE) throw error;
}

/** The opposite: the settings say that the ledger lies in the database of the tables. @throws Failure `Misconfigured` */
export async function requireOwnLedger(source: Queryable): Promise<void> {
  const { bound } = await readSource(source);
  if (bound !== null)
    refuse(
      'The outboxes in the database of the tables belong to a ledger in another database, and LEDGER_PG_URL is not set.',
      'Set LEDGER_PG_URL as it was.',
    );
  const has = await one<{ has: boolean }>(source, /* sql */ `select to_regclass('pg2click.ledger') is not null as has`);
  if (has?.has !== true) return;
  const row = await one<LedgerRow>(source, LEDGER_ROW);
  if (row?.source === null || row === undefined) return;
  refuse(
    `The ledger in the database of the tables serves another source, the database "${row.source.database}".`,
    'Put one of the two ledgers into a database of its own: set LEDGER_PG_URL.',
  );
}

async function readSource(source: Queryable): Promise<SourceRow> {
  const has = await one<{ bound: boolean; tables: boolean }>(
    source,
    /* sql */ `select to_regclass('pg2click.bound_ledger') is not null as bound,
      to_regclass('pg2click.replicated_table') is not null as tables`,
  );
  const bound =
    has?.bound === true ? await one<{ id: string }>(source, `select id::text from pg2click.bound_ledger`) : undefined;
  const tables =
    has?.tables === true
      ? await one<{ tables: number }>(source, `select count(*)::int as tables from pg2click.replicated_table`)
      : undefined;
  return { isPrepared: has?.bound === true, bound: bound?.id ?? null, tables: tables?.tables ?? 0 };
}

async function one<Row extends object>(pg: Queryable, text: string): Promise<Row | undefined> {
  return (await query<Row>(pg, text, [])).rows[0];
}

function isSame(a: DatabaseIdentity, b: DatabaseIdentity): boolean {
  return a.server === b.server && a.oid === b.oid;
}

function refuseOther({ database }: DatabaseIdentity, whose: string): never {
  refuse(
    `The ledger in the database "${database}" serves ${whose}, and a ledger serves one source.`,
    'Name a database for this source alone in LEDGER_PG_URL.',
  );
}

function refuse(message: string, remedy: string): never {
  throw new Failure('Misconfigured', { message, remedy });
}
