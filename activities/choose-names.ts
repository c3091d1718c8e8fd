import type { PrepareRequest } from '../src/domain/receipt.js';
import type { Target } from '../src/domain/route.js';
import type { TableName } from '../src/domain/table-name.js';
import type { TakenNames } from '../src/ledger/registration.js';
import type { Settings } from '../src/settings/settings.js';
import { topicNameFor } from '../src/topic/topic-name.js';

type Taken = readonly TakenNames[];

/** `KAFKA_TOPIC` is singular, as in the recipe: it names the first table's; every other one gets a name of its own. */
export function chooseTopic(request: PrepareRequest, { kafka }: Settings, taken: Taken): string {
  if (request.options.topic !== undefined) return request.options.topic;
  const isFree = kafka.topic !== undefined && !taken.some(({ topic }) => topic === kafka.topic);
  return isFree && kafka.topic !== undefined ? kafka.topic : topicNameFor(request.pipeline, request);
}

/** `CH_TABLE` likewise; else the table's own name, with its schema in front unless that is `public`. */
export function chooseTarget(request: PrepareRequest, { clickhouse }: Settings, taken: Taken): Target {
  const { database } = clickhouse;
  const chosen = request.options.target;
  if (chosen !== undefined) {
    const dot = chosen.indexOf('.');
    return dot < 0 ? { database, table: chosen } : { database: chosen.slice(0, dot), table: chosen.slice(dot + 1) };
  }
  const isFree =
    clickhouse.table !== undefined &&
    !taken.some(({ targets }) => targets.some((target) => isSame(target, database, clickhouse.table)));
  return { database, table: isFree && clickhouse.table !== undefined ? clickhouse.table : ownName(request) };
}

function isSame(target: Target, database: string, table: string | undefined): boolean {
  return target.database === database && target.table === table;
}

function ownName({ schema, table }: TableName): string {
  return schema === 'public' ? table : `${schema}_${table}`;
}
