import { quotePg } from '../../domain/identifier.js';
import { flawOfName } from '../../domain/column-name.js';
import {
  shownName,
  type CaptureOptions,
  type Column,
  type ColumnOptions,
  type TriggerLevel,
} from '../../domain/replicated-table.js';
import { columnName, formatTableName, shellName, shellWord, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import type { Queryable } from '../../connect/queryable.js';
import type { Inspection } from '../capture.js';
import {
  findTablesLike,
  readCatalog,
  readServer,
  type CatalogServer,
  type CatalogTable,
  type PartitionOf,
} from './catalog.js';
import { roleScript } from '../../package-root.js';
import { chooseColumns, keepColumns } from './choose-columns.js';
import { judgeFilter } from './judge-filter.js';
import { chooseKey } from './key-index.js';
import { qualified } from '../outbox/names.js';

export interface TableInspection extends Omit<Inspection, 'capture'> {
  readonly triggerLevel: TriggerLevel;
  /** A partitioned table: its rows are those of its partitions. */
  readonly isTree: boolean;
  /** A subscription applies changes to it. */
  readonly subscribed: boolean;
}

export interface InspectOptions extends Pick<CaptureOptions, 'key' | 'where' | 'known' | keyof ColumnOptions> {
  /**
   * What will be made: triggers that fire in every session, and an outbox (default); one trigger that may be missed; an entry in a
   * publication; or nothing. SELECT is all that the last two take.
   */
  readonly makes?: 'outbox' | 'trigger' | 'publication' | 'nothing' | undefined;
}

/**
 * Looks a table up and decides whether it can be replicated without losing or changing anything.
 * @throws Failure `MissingTable`, `UnsuitableTable`, `UnsupportedType`, `Unauthorized`; `SourceUnavailable` and its like
 */
export async function inspectTable(
  pg: Queryable,
  name: TableName,
  options: InspectOptions = {},
): Promise<TableInspection> {
  try {
    const server = await readServer(pg);
    const table = await readCatalog(pg, name);
    if (table === undefined) throw await missing(pg, name);
    const judged = judge(table, server, name, options);
    if (options.where === undefined || options.known !== undefined) return judged;
    return { ...judged, ...(await judgeFilter(pg, { ...judged, name, all: table.columns }, options.where)) };
  } catch (error) {
    throw classifyPostgres(error, `looking at ${formatTableName(name)}`);
  }
}

/** The decision alone, of what the catalogue said. */
export function judge(
  table: CatalogTable,
  server: CatalogServer,
  name: TableName,
  options: InspectOptions = {},
): TableInspection {
  const title = formatTableName(name);
  const { key: wanted, makes = 'outbox', known } = options;
  refuseRelation(table, name, makes);
  refusePartitions(table, server, { title, makes });
  if (known === undefined) refuseEncoding(server);
  if (makes === 'outbox') refuseServer(server);
  refuseRights(table, server, name, makes);
  // Triggers that are there were enabled when they were made: by a script of an older release, perhaps.
  if (makes === 'outbox' && known?.route?.capture.kind !== 'outbox') refuseEnabling(table, server, name);
  const key = chooseKey(table, name, wanted);
  const chosen =
    known === undefined ? chooseColumns(table.columns, options, { title, key }) : keepColumns(table.columns, known);
  refuseExcludedKey(key, chosen.columns, title);
  refuseNames(chosen.columns, title);
  return {
    relation: table.relation,
    ...chosen,
    ...(known?.where === undefined ? {} : { where: known.where }),
    key,
    // A statement that names a parent fires the statement triggers of the parent alone.
    triggerLevel: isRelated(table) ? 'row' : 'statement',
    isTree: table.kind === 'p',
    subscribed: table.subscribed,
    estimatedRows: table.estimatedRows,
    ...(table.heirs.length === 0 ? {} : { heirs: table.heirs }),
  };
}

/** By `pg_class.relkind`: what is not a table that holds rows of its own. */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
  S: 'a sequence',
  i: 'an index',
  I: 'an index',
  c: 'a composite type',
  t: 'a TOAST table',
};

const SYSTEM_SCHEMAS: readonly string[] = ['pg_catalog', 'information_schema', 'pg_toast'];

/** Its rows, or some of them, can be changed through another table. */
function isRelated({ kind, isChild, heirs }: CatalogTable): boolean {
  return kind === 'p' || isChild || heirs.length > 0;
}

function refuseRelation(table: CatalogTable, name: TableName, makes: InspectOptions['makes']): void {
  const title = formatTableName(name);
  const refuse = (what: string, remedy?: string) => {
    throw new Failure('UnsuitableTable', { message: `${title} is ${what}: it cannot be replicated.`, remedy });
  };
  if (name.schema === 'pg2click') refuse(`pg2click's own`, 'Choose another table.');
  if (SYSTEM_SCHEMAS.includes(name.schema)) refuse('a system table', 'Choose another table.');
  if (table.kind !== 'r' && table.kind !== 'p')
    refuse(OTHER_KINDS[table.kind] ?? 'not a table', 'Choose the table that holds the rows.');
  // A poll reads by a number, and reads one table. PostgreSQL publishes a partitioned table as one, and no other tree.
  const isWholeTree = table.kind === 'p' && !table.isChild;
  if (makes !== 'outbox' && isRelated(table) && !(makes === 'publication' && isWholeTree))
    refuse(
      table.kind === 'p' ? 'a partitioned table' : 'part of an inheritance tree or a partition',
      'Choose --capture outbox for it, or a table that stands alone.',
    );
  if (table.persistence === 't') refuse('a temporary table', 'Choose a permanent table.');
  if (table.persistence === 'u')
    refuse('an unlogged table', 'A crash empties it without a trace. Make it permanent: ALTER TABLE .. SET LOGGED.');
}

/** A partition whose rows can change without a trigger, or be lost in a crash, is named. */
function refusePartitions(
  { partitions }: CatalogTable,
  { role }: CatalogServer,
  { title, makes }: { readonly title: string; readonly makes: InspectOptions['makes'] },
): void {
  for (const partition of partitions) {
    const what = `${title} has the partition ${formatTableName(partition.name)}`;
    const flaw = flawOfPartition(partition);
    if (flaw !== undefined)
      throw new Failure('UnsuitableTable', {
        message: `${what}, which is ${flaw.what}: the table cannot be replicated.`,
        remedy: flaw.remedy,
      });
    const needsTriggers = makes === 'outbox';
    if (partition.select && (partition.trigger || !needsTriggers)) continue;
    const { schema } = partition.name;
    throw new Failure('Unauthorized', {
      message: `${what}, and the PostgreSQL role "${role}" may not ${partition.select ? 'put triggers on' : 'read'} it.`,
      remedy: runAndGoOn(
        `grant usage on schema ${quotePg(schema)} to ${quotePg(role)}; ` +
          `grant select${needsTriggers ? ', trigger' : ''} on table ${qualified(partition.name)} to ${quotePg(role)}`,
      ),
    });
  }
}

/** @returns why no partitioned table may have it as a part */
export function flawOfPartition({
  kind,
  persistence,
}: Pick<PartitionOf, 'kind' | 'persistence'>): { readonly what: string; readonly remedy: string } | undefined {
  if (kind !== 'r' && kind !== 'p')
    return {
      what: OTHER_KINDS[kind] ?? 'not a table',
      remedy: 'Detach it, or add the other partitions one by one.',
    };
  if (persistence === 'p') return undefined;
  const what = persistence === 'u' ? 'an unlogged table, which a crash empties' : 'a temporary table';
  return {
    what,
    remedy: 'Make it permanent (ALTER TABLE .. SET LOGGED), detach it, or add the other partitions one by one.',
  };
}

/** Its bytes may be of any encoding, and no conversion to UTF-8 is defined: rows would be refused when they are read, or be garbage. */
function refuseEncoding({ encoding }: CatalogServer): void {
  if (encoding !== 'SQL_ASCII') return;
  throw new Failure('UnsuitableTable', {
    message:
      'The database has the encoding SQL_ASCII, which says nothing of what its bytes mean: they cannot be sent as UTF-8.',
    remedy:
      'Move the tables into a database in UTF8 (pg_dump --encoding with what the bytes are), then add them there.',
  });
}

function refuseServer(server: CatalogServer): void {
  if (server.inRecovery)
    throw new Failure('UnsuitableTable', {
      message: 'This PostgreSQL server is a standby: triggers cannot be made there.',
      remedy: 'Set the address of the primary.',
    });
  const [publication] = server.publications;
  if (publication !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `The publication ${publication} would publish the tables of pg2click too, and stop its subscribers.`,
      remedy: 'Let the publication name its tables, or schemas other than pg2click.',
    });
}

/** A right that is missing is named with the statement that grants it. */
function refuseRights(
  { rights, rowsHidden }: CatalogTable,
  { role }: CatalogServer,
  name: TableName,
  makes: InspectOptions['makes'],
): void {
  const title = formatTableName(name);
  const grantee = quotePg(role);
  const refuse = (what: string, remedy: string) => {
    throw new Failure('Unauthorized', { message: `The PostgreSQL role "${role}" may not ${what}.`, remedy });
  };
  if (!rights.schema)
    refuse(`use the schema of ${title}`, runAndGoOn(`grant usage on schema ${quotePg(name.schema)} to ${grantee}`));
  if (!rights.select) refuse(`read ${title}`, runAndGoOn(`grant select on table ${qualified(name)} to ${grantee}`));
  if ((makes === 'outbox' || makes === 'trigger') && !rights.trigger)
    refuse(`put triggers on ${title}`, runAndGoOn(`grant trigger on table ${qualified(name)} to ${grantee}`));
  if (rowsHidden)
    throw new Failure('UnsuitableTable', {
      message: `Row-level security hides rows of ${title} from the PostgreSQL role "${role}": they would look deleted.`,
      remedy: 'Give it BYPASSRLS, or use a role to which the policies do not apply.',
    });
}

/** Whether our role may say in which sessions a trigger fires: only the owner of the table may, and functions of the administrator's. */
function refuseEnabling({ rights }: CatalogTable, { role }: CatalogServer, name: TableName): void {
  const title = formatTableName(name);
  if (!rights.enableTriggers)
    throw new Failure('Unauthorized', {
      message: `The PostgreSQL role "${role}" may not let triggers of ${title} fire in sessions that apply changes of elsewhere, which takes the owner of the table.`,
      remedy: `Let an administrator run ${roleScript} of this release in the database, or make the role a member of the owner; ${THEN_GO_ON}.`,
    });
  if (rights.adminLacks !== null) {
    const { admin, owner } = rights.adminLacks;
    throw new Failure('Unauthorized', {
      message: `The administrator's role "${admin}", which has run ${roleScript}, may not alter ${title}: its owner is "${owner}". So it cannot let triggers of pg2click fire in sessions that apply changes of elsewhere.`,
      remedy: `Run in PostgreSQL, as a superuser or as one who may grant that role: grant ${quotePg(owner)} to ${quotePg(admin)}`,
    });
  }
}

function runAndGoOn(statement: string): string {
  return `Run in PostgreSQL, as the owner: ${statement}; ${THEN_GO_ON}.`;
}

function refuseExcludedKey(key: readonly string[], columns: readonly Column[], title: string): void {
  const missing = key.find((wanted) => !columns.some(({ name }) => name === wanted));
  if (missing === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Column ${missing} of ${title} cannot be left out: it is in the key, which tells the rows apart.`,
    remedy: 'Leave it out of --exclude-column, or choose another unique index with --key.',
  });
}

/** The names of ClickHouse: those of the source, or those that were chosen. */
function refuseNames(columns: readonly Column[], title: string): void {
  const names = new Set(columns.map(shownName));
  for (const column of columns) {
    const [name, shown] = [column.name, shownName(column)];
    const other = columns.find((each) => each !== column && shownName(each) === shown);
    if (other !== undefined)
      throw new Failure('UnsuitableTable', {
        message: `Columns ${name} and ${other.name} of ${title} would both be called ${shown}.`,
        remedy: 'Give one of them another name with --rename-column COLUMN=NAME.',
      });
    const why = flawOfName(shown, names);
    if (why === undefined) continue;
    const isChosen = column.shown !== undefined;
    const away = `Leave it out with --exclude-column '${quotePg(name)}', give`;
    throw new Failure('UnsuitableTable', {
      message: isChosen
        ? `Column ${name} of ${title} cannot be called ${shown}: ${why}.`
        : `${title} has a column ${name}: ${why}.`,
      remedy: `${isChosen ? 'Give' : away} it another name with --rename-column ${shellWord(`${columnName(name)}=NAME`)}.`,
    });
  }
}

async function missing(pg: Queryable, name: TableName): Promise<Failure> {
  const [like] = await findTablesLike(pg, name);
  const why = like?.table === name.table ? '' : 'Names without quotes are in lower case. ';
  return new Failure('MissingTable', {
    message: `There is no table ${formatTableName(name)} in PostgreSQL.`,
    remedy: like === undefined ? undefined : `${why}Did you mean ${shellName(like)}?`,
  });
}
