import type { ClickHouseClient } from '@clickhouse/client';
import { clip } from '../domain/clip.js';
import { columnType, targetColumns } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalKey, physicalName, type Column, type TargetTable } from '../domain/replicated-table.js';
import { engineOf } from '../domain/route.js';
import { flawOfLayout, LAYOUT_FLAGS, type LayoutClause, type TargetLayout } from '../domain/target-layout.js';
import { columnName, formatTableName } from '../domain/table-name.js';
import { ClickHouseAnswer } from '../failure/classify-clickhouse.js';
import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import { appendColumns } from './append/fit.js';
import { execute, select } from './catalog.js';
import { clausesSql } from './storage-sql.js';

type LaidOut = Pick<TargetTable, 'name' | 'columns' | 'key' | 'engine' | 'layout'>;

const CLAUSES = Object.keys(LAYOUT_FLAGS) as readonly LayoutClause[];

/**
 * Lets ClickHouse judge what the user chose for a target: it makes an empty temporary table, which ends with the statement. Then one
 * of the key columns alone: what a target with versions is ordered and partitioned by may use no others, because a deletion has no
 * values of them, and an UPDATE may change them.
 * @throws Failure `UnsuitableTable` names the option and the reason; `Unauthorized`, and those of ClickHouse
 */
export async function judgeLayout(ch: ClickHouseClient, table: LaidOut): Promise<void> {
  const { layout = {}, columns } = table;
  const versions = engineOf(table) === 'replacing';
  if (layout.cluster !== undefined) await judgeCluster(ch, table, layout.cluster);
  const flaw = flawOfLayout(layout, table, { versions });
  if (flaw !== undefined) throw unsuitable(table, flaw);
  for (const column of columns) if (column.codec !== undefined) await judgeCodec(ch, table, column, column.codec);
  const all = versions ? targetColumns(table) : appendColumns(table);
  await judgeClauses(layout, async (clauses, clause) => {
    const answer = await probe(ch, { columns: all, clauses, tombstones: versions });
    if (answer !== undefined)
      throw unsuitable(table, `ClickHouse refuses ${LAYOUT_FLAGS[clause]} ${layout[clause]}: ${answer}.`);
  });
  if (!versions) return;
  const key = physicalKey(table);
  const ofKey = all.filter(({ name }) => key.includes(name));
  const { constantTtl = false, ttl, ...keys } = layout;
  await judgeClauses(constantTtl || ttl === undefined ? keys : { ...keys, ttl }, async (clauses, clause) => {
    const answer = await probe(ch, { columns: ofKey, clauses, tombstones: false });
    if (answer !== undefined)
      throw unsuitable(
        table,
        `${LAYOUT_FLAGS[clause]} ${layout[clause]} uses a column outside of the key (${key.join(', ')}): ${OUTSIDE[clause]}`,
      );
  });
}

/** Why a column outside of the key does not do. */
const OUTSIDE: Readonly<Record<LayoutClause, string>> = {
  orderBy:
    'a deletion knows the key alone, and an UPDATE of the column would leave two rows. Order by columns of the key.',
  partitionBy:
    'a deletion knows the key alone, and ClickHouse merges no rows of two partitions. Partition by columns of the key.',
  ttl:
    'where an UPDATE changes it, ClickHouse may delete the newer version of a row before the older one, which is shown again then. ' +
    'If no UPDATE changes it, say so with --constant-ttl.',
};

/** Clause by clause, each with those before it: what fails is the last one. */
async function judgeClauses(
  layout: TargetLayout,
  judge: (clauses: TargetLayout, clause: LayoutClause) => Promise<void>,
): Promise<void> {
  let clauses: TargetLayout = {};
  for (const clause of CLAUSES) {
    const expression = layout[clause];
    if (expression === undefined) continue;
    clauses = { ...clauses, [clause]: expression };
    await judge(clauses, clause);
  }
}

/** Of a cluster with shards, each holds other rows: all versions of a key would have to come to one of them. */
async function judgeCluster(ch: ClickHouseClient, table: LaidOut, cluster: string): Promise<void> {
  const query = /* sql */ `select toString(uniqExact(shard_num)) as shards from system.clusters where cluster = {cluster:String}`;
  const [found] = await select<{ shards: string }>(ch, query, { cluster }, `looking for the cluster ${cluster}`);
  const shards = Number(found?.shards ?? 0);
  if (shards === 0)
    throw unsuitable(table, `ClickHouse knows no cluster ${cluster}: system.clusters has those that it knows.`);
  if (shards > 1)
    throw unsuitable(
      table,
      `The cluster ${cluster} has ${shards} shards, and all rows of a table go to one: name a cluster of replicas.`,
    );
}

async function judgeCodec(ch: ClickHouseClient, table: LaidOut, column: Column, codec: string): Promise<void> {
  const type = `${columnType(column).clickhouse(column)} codec(${codec}\n)`;
  const answer = await probe(ch, { columns: [{ name: physicalName(column), type }], clauses: {}, tombstones: false });
  if (answer === undefined) return;
  throw unsuitable(table, `ClickHouse refuses --codec ${columnName(column.name)}=${codec}: ${answer}.`);
}

/** They say nothing about the statement. */
const NO_JUDGEMENT: readonly FailureKind[] = [
  'SinkUnavailable',
  'SinkBusy',
  'LoginRefused',
  'Unauthorized',
  'Misconfigured',
];

/** @returns what ClickHouse has against such a table */
async function probe(
  ch: ClickHouseClient,
  {
    columns,
    clauses,
    tombstones,
  }: {
    readonly columns: readonly { readonly name: string; readonly type: string }[];
    readonly clauses: TargetLayout;
    readonly tombstones: boolean;
  },
): Promise<string | undefined> {
  const defined = columns.map(({ name, type }) => `${quoteCh(name)} ${type}`).join(', ');
  const statement = /* sql */ `create temporary table pg2click_probe (${defined}) engine = MergeTree\n${clausesSql(clauses, { tombstones })}`;
  try {
    await execute(ch, statement, 'trying the options of its target');
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.kind === 'Unauthorized')
      throw new Failure('Unauthorized', {
        message: error.message,
        remedy:
          'Run in ClickHouse: grant create arbitrary temporary table on *.* to the user in CH_USER. Then try again.',
        cause: error,
      });
    const { cause } = error;
    if (NO_JUDGEMENT.includes(error.kind) || !(cause instanceof ClickHouseAnswer)) throw error;
    return reasonIn(cause);
  }
}

/** The statement has names and expressions alone, no row: so the text of ClickHouse may be shown. */
function reasonIn({ message, serverText }: ClickHouseAnswer): string {
  const [reason = ''] = (serverText ?? message).split(/,? required columns:|\n|\/\* |[:.] Expected one of/u);
  return clip(
    reason
      .replaceAll(/ \(line \d+, col \d+\)/gu, '')
      .trim()
      .replace(/[.,:]+$/u, ''),
    200,
  );
}

function unsuitable({ name }: LaidOut, reason: string): Failure {
  return new Failure('UnsuitableTable', {
    message: `The ClickHouse table of ${formatTableName(name)} cannot be made so. ${reason}`,
    remedy: 'Nothing was changed. Add it with other options, see docs/26-target.md.',
  });
}
