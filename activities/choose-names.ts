import type { PrepareRequest } from '../src/domain/receipt.js';
import type { Target } from '../src/domain/route.js';
import type { TableName } from '../src/domain/table-name.js';
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
  if (chosen !== undefined) {
    const dot = chosen.indexOf('.');
    return dot < 0 ? { database, table: chosen } : { database: chosen.slice(0, dot), table: chosen.slice(dot + 1) };
  }
  const isTaken = taken.some(({ targets }) =>
    targets.some((target) => target.database === database && target.table === first),
  );
  return { database, table: first === undefined || isTaken ? ownName(request) : first };
}

function ownName({ schema, table }: TableName): string {
  return schema === 'public' ? table : `${schema}_${table}`;
}
