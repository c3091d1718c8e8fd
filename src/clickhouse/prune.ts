import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import type { KeyRange } from '../domain/chunk.js';
import { DELETED_COLUMN, VERSION_COLUMN } from '../domain/column-type.js';
import { count } from '../domain/figures.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalKey, type TargetTable } from '../domain/replicated-table.js';
import { minorOf, type Version } from '../domain/version.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { listColumns } from './catalog.js';
import { pruneSettings } from './insert-settings.js';
import { rangeCondition } from './key-range.js';
import { quoteText, targetNames } from './names.js';
import { escapeText } from './quarantine/line-fields.js';

/** Rows that one statement reads; each takes some seconds. */
const ROWS_A_PART = 20_000_000;

export interface PruneOptions {
  readonly range: Pick<KeyRange, 'from' | 'to' | 'bytewise'>;
  /** Of the rows that were read again, whatever shape is in it. */
  readonly version: Version;
  /**
   * Keys, as `RefusedRow.key`, of rows that were read again and refused: they are in PostgreSQL, and an older version of them may be in
   * the target.
   */
  readonly except: readonly string[];
  readonly signal: AbortSignal;
  /** Called after each statement. */
  readonly onProgress?: (note: string) => void;
  /** By default 20,000,000: a larger range is pruned in parts, by a hash of the key. */
  readonly rowsAPart?: number;
}

/**
 * Writes a tombstone for each key of a range that the target shows, and that was not read again: PostgreSQL does not have it any more.
 * Called when all rows of the range are in the target. Idempotent.
 *
 * A tombstone has the position of the rows that were read, and no shape: it loses against each of them, and against each later change. So
 * a prune that is early, or reads a replica that is behind, hides a row until that arrives, and deletes none. A change of before the
 * position that arrives later loses against the tombstone; what it did, the rows that were read have shown.
 * @returns how many tombstones of this version are in the range, those of earlier attempts among them
 * @throws the signal's reason; RangeError as `rangeCondition`; Failure those of ClickHouse
 */
export async function pruneRange(
  ch: ClickHouseClient,
  table: TargetTable,
  { range, version, except, signal, onProgress, rowsAPart = ROWS_A_PART }: PruneOptions,
): Promise<number> {
  const { sql } = targetNames(table.target);
  const condition = rangeCondition(table, range);
  const statements = new Statements(ch, table, signal);
  const lowest = version - minorOf(version);
  const rows = await statements.count(
    /* sql */ `select toString(count()) as rows from ${sql.table} where ${condition}`,
  );
  const lines = piecesOf(except);
  const spared = lines.length === 0 ? '' : ` and ${sparedCondition(table, await keyTypes(ch, table), lines.length)}`;
  const key = physicalKey(table).map(quoteCh).join(', ');
  const parts = Math.max(1, Math.ceil(rows / rowsAPart));
  for (let part = 0; part < parts; part += 1) {
    const ofPart = parts === 1 ? '' : ` and cityHash64(${key}) % ${parts} = ${part}`;
    await statements.run(tombstonesSql(table, lowest, `${condition}${ofPart}${spared}`), lines);
    onProgress?.(`pruned ${count((rows / parts) * (part + 1))} of ${count(rows)} rows`);
  }
  return statements.count(/* sql */ `select toString(count()) as rows from ${sql.table}
      where ${VERSION_COLUMN} = toUInt128('${lowest}') and ${DELETED_COLUMN} = 1 and ${condition}`);
}

/** The other columns have their defaults, as in every tombstone of a message. What the floor hides needs none. */
function tombstonesSql(table: TargetTable, version: Version, condition: string): string {
  const { sql } = targetNames(table.target);
  const key = physicalKey(table).map(quoteCh).join(', ');
  return /* sql */ `
insert into ${sql.table} (${key}, ${VERSION_COLUMN}, ${DELETED_COLUMN})
select ${key}, toUInt128('${version}'), 1
from ${sql.table}
where ${condition}
group by ${key}
having max(${VERSION_COLUMN}) < toUInt128('${version}')
  and max(${VERSION_COLUMN}) > ifNull((select max(version) from ${sql.floor}), 0)
  and argMax(${DELETED_COLUMN}, ${VERSION_COLUMN}) = 0`;
}

/** Servers take no parameter of more than 128 KiB. */
const PIECE_CHARACTERS = 30_000;

/** Keys as COPY text, in pieces of whole lines. */
function piecesOf(except: readonly string[]): readonly string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const texts of except) {
    const line = `${(JSON.parse(texts) as string[]).map(escapeText).join('\t')}\n`;
    if (piece !== '' && piece.length + line.length > PIECE_CHARACTERS) {
      pieces.push(piece);
      piece = '';
    }
    piece += line;
  }
  return piece === '' ? pieces : [...pieces, piece];
}

/**
 * Keys are parameters: the log of queries, which others read, shows none. A key that ClickHouse cannot read was never there: such a line
 * is skipped.
 */
function sparedCondition(table: TargetTable, types: readonly string[], pieces: number): string {
  const key = physicalKey(table).map(quoteCh);
  const names = key.map((_, index) => `pg2click_k${index}`);
  const structure = names.map((name, index) => `${name} ${types[index]}`).join(', ');
  const lines = Array.from({ length: pieces }, (_, index) => `{${parameterName(index)}:String}`);
  const entries = `format(TabSeparated, ${quoteText(structure)}, concat(${[`''`, ...lines].join(', ')}))`;
  return /* sql */ `(${key.join(', ')}) not in (select ${names.join(', ')} from ${entries})`;
}

function parameterName(piece: number): string {
  return `keys_${piece}`;
}

async function keyTypes(ch: ClickHouseClient, table: TargetTable): Promise<readonly string[]> {
  const existing = await listColumns(ch, table.target.database, table.target.table);
  const types = new Map(existing.map(({ name, type }) => [name, type]));
  return physicalKey(table).map((name) => types.get(name) ?? 'String');
}

/** Statements over all rows of a range: they may take as long as a request may. */
class Statements {
  readonly #ch: ClickHouseClient;
  readonly #what: string;
  readonly #signal: AbortSignal;
  #settings: Promise<ClickHouseSettings> | undefined;

  constructor(ch: ClickHouseClient, table: TargetTable, signal: AbortSignal) {
    this.#ch = ch;
    this.#what = `pruning ${targetNames(table.target).shown}`;
    this.#signal = signal;
  }

  async count(query: string): Promise<number> {
    const rows = await this.#send(async (options) => {
      const result = await this.#ch.query({ query, format: 'JSONEachRow', ...options });
      return result.json<{ rows: string }>();
    });
    return Number(rows[0]?.rows ?? 0);
  }

  /** @param pieces of `sparedCondition`, sent in the body: a URL is in the access logs of proxies */
  async run(query: string, pieces: readonly string[]): Promise<void> {
    const query_params = Object.fromEntries(pieces.map((lines, index) => [parameterName(index), lines]));
    await this.#send(async (options) => {
      const result = await this.#ch.query({
        query,
        query_params,
        use_multipart_params: pieces.length > 0,
        format: 'TabSeparated',
        ...options,
      });
      await result.text();
    });
  }

  async #send<T>(
    send: (options: { clickhouse_settings: ClickHouseSettings; abort_signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const signal = this.#signal;
    signal.throwIfAborted();
    this.#settings ??= pruneSettings(this.#ch);
    try {
      return await send({ clickhouse_settings: await this.#settings, abort_signal: signal });
    } catch (error) {
      signal.throwIfAborted();
      throw classifyClickHouse(error, this.#what);
    }
  }
}
