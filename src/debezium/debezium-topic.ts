import type { Databases } from '../connect/databases.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { verifyUnchanged } from '../source/catalog/verify-unchanged.js';
import type { ForeignTopic, TopicPosition } from '../topic/topic-source.js';
import { DebeziumBatch } from './batch-builder.js';
import { UnknownColumns } from './row-writer.js';

/**
 * How the topic of a table is read that Debezium writes.
 * @param position of the stage; undefined for a replay, which may read snapshots again
 */
export function openDebeziumTopic(
  databases: Databases,
  table: ReplicatedTable,
  topic: string,
  position?: Pick<TopicPosition, 'streamed'>,
): ForeignTopic {
  let streamed = position === undefined ? undefined : position.streamed === true;
  const ignored = new Set(table.excluded?.map(({ name }) => name));
  return {
    form: (limits, isNamed) => new DebeziumBatch({ table, topic, ignored, streamed }, limits, isNamed),

    loaded(fetched) {
      if (streamed === false && fetched.streamed === true) streamed = true;
    },

    async verify() {
      await verifyUnchanged(databases, table);
    },

    async learn(met) {
      const unknown = (met as { readonly cause?: unknown }).cause;
      if (!(unknown instanceof UnknownColumns)) throw met;
      const here = await columnsHere(databases, table);
      const added = unknown.names.filter((name) => here.has(name));
      // Before anything of it is loaded: the slice begins again with the columns of now.
      if (added.length > 0)
        throw new Failure('SourceChanged', {
          message: `${formatTableName(table.name)} was changed: its messages have ${added.join(', ')} now.`,
        });
      for (const name of unknown.names) ignored.add(name);
    },
  };
}

/** The columns that the table has now, but those that are left out, under whatever name. */
async function columnsHere(
  { source }: Databases,
  { relation, excluded = [] }: ReplicatedTable,
): Promise<ReadonlySet<string>> {
  const found = await source.query<{ name: string }>(
    /* sql */ `select a.attname::text as name from pg_catalog.pg_attribute a
      where a.attrelid = $1::pg_catalog.oid and a.attnum > 0 and not a.attisdropped and a.attnum <> all ($2::int[])`,
    [relation, excluded.map(({ position }) => position)],
  );
  return new Set(found.rows.map(({ name }) => name));
}
