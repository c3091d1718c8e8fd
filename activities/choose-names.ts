import type { PrepareRequest } from '../src/domain/receipt.js';
import type { Target } from '../src/domain/route.js';
import type { TableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import type { TakenNames } from '../src/ledger/registration.js';
import type { Settings } from '../src/settings/settings.js';
import { topicNameFor } from '../src/topic/topic-name.js';

type Taken = readonly TakenNames[];

/** `KAFKA_TOPIC` names the topic of the first table; every other table gets a name of its own. */
export function chooseTopic(request: PrepareRequest, { kafka }: Settings, taken: Taken): string {
  if (request.options.topic !== undefined) return request.options.topic;
  const first = kafka.topic;
  if (first !== undefined && !taken.some(({ topic }) => topic === first)) return first;
  return topicNameFor(request.pipeline, request);
}

/** `CH_TABLE` likewise; else the table's own name, with its schema in front unless that is `public`. */
export function chooseTarget(request: PrepareRequest, { clickhouse }: Settings, taken: Taken): Target {
  const { database, table: first } = clickhouse;
  const chosen = request.options.target;
  if (chosen !== undefined) return readTarget(chosen, database);
  const isTaken = taken.some(({ targets }) =>
    targets.some((target) => target.database === database && target.table === first),
  );
  return { database, table: first === undefined || isTaken ? ownName(request) : first };
}

/**
 * Reads `table` or `database.table`.
 * @throws Failure `UnsuitableTable` for more parts: a typo must not make a database
 */
export function readTarget(text: string, database: string): Target {
  const parts = text.split('.');
  const [first = '', second] = parts;
  if (parts.length > 2 || parts.includes(''))
    throw new Failure('UnsuitableTable', {
      message: `"${text}" names no ClickHouse table.`,
      remedy: 'Give TABLE or DATABASE.TABLE.',
    });
  return second === undefined ? { database, table: first } : { database: first, table: second };
}

function ownName({ schema, table }: TableName): string {
  return schema === 'public' ? table : `${schema}_${table}`;
}
