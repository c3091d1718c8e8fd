import type { Queryable } from '../../connect/queryable.js';
import { formatTableName, sqlName, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { Capture, Inspection } from '../capture.js';
import { readDefaulted } from '../catalog/defaulted.js';
import { inspectTable } from '../catalog/inspect.js';
import { holdAsInspected } from '../poll/install.js';

/**
 * Debezium captures the changes, and writes them into a topic of its own. Nothing is made in PostgreSQL: SELECT is all it takes. Positions
 * are those of the topic: see `positionOfCopy`.
 */
export const debeziumCapture: Capture = {
  kind: 'debezium',

  async inspect(pg, name, options) {
    if (options.where !== undefined)
      throw new Failure('UnsuitableTable', {
        message: '--where is judged by PostgreSQL where a change is read, and Debezium reads all of them.',
        remedy: 'Leave --where out, or use --capture outbox.',
      });
    try {
      const {
        triggerLevel: _level,
        isTree: _tree,
        subscribed: _subscribed,
        ...inspection
      } = await inspectTable(pg, name, { ...options, makes: 'nothing' });
      await refuseIdentity(pg, name, inspection);
      if (options.loader === 'kafka-engine') {
        await refusePlaceholders(pg, name, inspection.relation);
        await refuseDefaults(pg, name, inspection);
      }
      return { ...inspection, capture: { kind: 'debezium', foreignTopic: true } };
    } catch (error) {
      throw classifyPostgres(error, `looking at ${formatTableName(name)}`);
    }
  },

  install: (pg, table, options) => holdAsInspected(pg, table, options),
  remove: () => Promise.resolve(),
  installationOf: ({ relation }) => relation,
  allocatePosition: () => Promise.reject(new Error('the topic has the positions of what Debezium does')),
  open: () => {
    throw new Error('no stage of ours captures what Debezium does');
  },
};

interface Identity {
  readonly kind: string;
  /** Of the index that is the identity, or of the primary key. */
  readonly columns: readonly string[];
}

/**
 * The key of a message is that of the replica identity: with another one than the key of the table, an update of the key would leave the row
 * under the old key behind, and say nothing.
 */
async function refuseIdentity(
  pg: Queryable,
  name: TableName,
  { relation, key }: { readonly relation: string; readonly key: readonly string[] },
): Promise<void> {
  const found = await pg.query<Identity>(
    /* sql */ `select c.relreplident as kind, array(
        select a.attname::text from pg_catalog.pg_index i, pg_catalog.unnest(i.indkey) number, pg_catalog.pg_attribute a
        where i.indrelid = c.oid and a.attrelid = c.oid and a.attnum = number
          and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end) as columns
      from pg_catalog.pg_class c where c.oid = $1::pg_catalog.oid`,
    [relation],
  );
  const [identity] = found.rows;
  const columns = identity?.columns ?? [];
  if (columns.length === key.length && columns.every((column) => key.includes(column)) && identity?.kind !== 'n')
    return;
  throw new Failure('UnsuitableTable', {
    message: `Debezium identifies the rows of ${formatTableName(name)} by ${columns.length === 0 || identity?.kind === 'n' ? 'nothing' : columns.join(', ')}, and their key here is ${key.join(', ')}.`,
    remedy:
      identity?.kind === 'i'
        ? `Name that key with --key ${columns.join(',')}.`
        : 'Give the table a primary key with REPLICA IDENTITY DEFAULT or FULL, and use it as the key.',
  });
}

/** Debezium writes a placeholder for a TOAST value that an UPDATE did not touch, unless the WAL has the row of before: who loads it needs PostgreSQL. */
async function refusePlaceholders(pg: Queryable, name: TableName, relation: string): Promise<void> {
  const found = await pg.query<{ may: boolean }>(
    /* sql */ `select c.reltoastrelid <> 0 and c.relreplident <> 'f' as may from pg_catalog.pg_class c where c.oid = $1::pg_catalog.oid`,
    [relation],
  );
  if (found.rows[0]?.may !== true) return;
  throw new Failure('UnsuitableTable', {
    message: `Rows of ${formatTableName(name)} may have values out of line (TOAST). Debezium writes a placeholder for those that an UPDATE does not touch, and the Kafka engine cannot read them from PostgreSQL.`,
    remedy: `Use --loader worker. Or run in PostgreSQL: alter table ${sqlName(name)} replica identity full; then Debezium has all values.`,
  });
}

/** Connect's converters write the default of a column in the place of a NULL, unless they are told not to. */
async function refuseDefaults(
  pg: Queryable,
  name: TableName,
  { relation, columns }: Pick<Inspection, 'relation' | 'columns'>,
): Promise<void> {
  const defaulted = await readDefaulted(pg, relation);
  const [column] = columns.filter((each) => each.nullable && defaulted.includes(each.name));
  if (column === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `The column ${column.name} of ${formatTableName(name)} takes NULL and has a default. Converters of Kafka Connect write the default in the place of a NULL, and the Kafka engine cannot read the row from PostgreSQL.`,
    remedy: 'Use --loader worker, or give the column NOT NULL or no default.',
  });
}
