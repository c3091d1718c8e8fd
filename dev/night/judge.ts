import type pg from 'pg';
import { compareTable, isEqual } from '../compare/compare.js';
import { auditOf, disorderSql, logAuditSql } from '../compare/log-audit.js';
import type { Ground } from './ground.js';
import { viewOf, type NightTable } from './table.js';

export interface Verdict {
  readonly table: NightTable;
  readonly isEqual: boolean;
  /** Rows, or transactions of a log, that were compared, and how many are the same. */
  readonly compared: number;
  readonly equal: number;
  /** What differs, or why it could not be compared. */
  readonly difference: string;
}

/** Transactions about the moment at which a log was added again: some are in its snapshot, and the order of xids does not say which. */
const UNSURE = 200n;

export async function judge(ground: Ground, postgres: pg.Client, table: NightTable): Promise<Verdict> {
  try {
    return table.isLog ? await judgeLog(ground, postgres, table) : await judgeTable(ground, postgres, table);
  } catch (error) {
    const difference = error instanceof Error ? error.message : String(error);
    return { table, isEqual: false, compared: 0, equal: 0, difference };
  }
}

async function judgeTable({ clickhouse, database }: Ground, postgres: pg.Client, table: NightTable): Promise<Verdict> {
  const found = await compareTable({
    postgres,
    clickhouse,
    table: { schema: 'public', table: table.name },
    view: { database, table: viewOf(table) },
  });
  const { missing, extra, changed, differences } = found;
  const some = differences.map(({ kind, key }) => `${kind} ${key}`).join(', ');
  return {
    table,
    isEqual: isEqual(found),
    compared: found.source,
    equal: found.equal,
    difference: isEqual(found) ? '' : `${missing} missing, ${extra} extra, ${changed} changed: ${some}`,
  };
}

async function judgeLog({ clickhouse }: Ground, postgres: pg.Client, table: NightTable): Promise<Verdict> {
  const ask = async (query: string): Promise<string[]> => {
    const answer = await clickhouse.query({ query, format: 'TabSeparated' });
    return (await answer.text()).split('\n').filter(Boolean);
  };
  const written = await auditOf(postgres, table.name);
  const there = await ask(logAuditSql(table.target));
  const [disorder] = await ask(disorderSql(table.target));
  const isWhole = table.target === table.name;
  const first = isWhole ? 0n : xidOf(there[0] ?? '0') + UNSURE;
  const [lines, audited] = [new Set(there), new Set(written)];
  const missing = written.filter((line) => xidOf(line) > first && !lines.has(line));
  const extra = there.filter((line) => !audited.has(line));
  const isSame = missing.length + extra.length === 0 && disorder === '0';
  return {
    table,
    isEqual: isSame,
    compared: written.length,
    equal: there.length - extra.length,
    difference: isSame
      ? ''
      : `${missing.length} transactions missing, ${extra.length} otherwise, ${disorder} rows out of order: ${[...missing, ...extra].slice(0, 5).join('; ')}`,
  };
}

function xidOf(line: string): bigint {
  return BigInt(line.split(' ')[0] ?? '0');
}
