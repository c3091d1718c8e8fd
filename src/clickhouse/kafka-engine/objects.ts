import { createHash } from 'node:crypto';
import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import { takenRemedy, type AddedTable } from '../../failure/remedies.js';
import { execute, findObjects } from '../catalog.js';
import { ownerMark, quoteText } from '../names.js';
import { REGISTRY_SETTING } from './avro-sql.js';
import { PASSWORD_SETTING } from './connection.js';
import { ENGINE_ROLES, engineNames, isView, type EngineNames, type EngineRole } from './names.js';
import { debeziumConsumerSql } from './debezium-sql.js';
import { errorsTableSql, isForeign, kafkaTableSql, messagesTableSql, type EngineSpec } from './table-sql.js';
import { consumerSql, marksSql, refusedSql, rowsSql } from './view-sql.js';

/** Whose objects they are. */
export type EngineOwner = Pick<TargetTable, 'deployment' | 'pipeline' | 'target'> & AddedTable;

/** The comment of an object without the fingerprint of its definition, which follows. */
export function engineMark(owner: EngineOwner, role: EngineRole): string {
  return `${ownerMark(owner, `engine ${role}`)} #`;
}

/** An object that is there, and whether it is made as it would be made now. */
interface Found {
  readonly isCurrent: boolean;
}

/** @returns those that are there. @throws Failure `TargetTaken` where one of the names is somebody else's */
async function findOwn(
  ch: ClickHouseClient,
  owner: EngineOwner,
  spec?: EngineSpec,
): Promise<ReadonlyMap<EngineRole, Found>> {
  const names = engineNames(owner.target);
  const objects = await findObjects(ch, names.database, Object.values(names.bare));
  const found = new Map<EngineRole, Found>();
  for (const role of ENGINE_ROLES) {
    const object = objects.get(names.bare[role]);
    if (object === undefined) continue;
    if (!object.comment.startsWith(engineMark(owner, role)))
      throw new Failure('TargetTaken', {
        message: `The ClickHouse name ${names.shown[role]}, needed to load ${owner.target.database}.${owner.target.table} by the Kafka engine, is taken: it was not made by pg2click for it.`,
        remedy: takenRemedy(owner, 'target'),
      });
    // What was refused stays, whatever the columns are now.
    const isCurrent = role === 'errors' || spec === undefined || object.comment === commentOf(names, spec, role);
    found.set(role, { isCurrent });
  }
  return found;
}

/**
 * Makes all but the consumer, so nothing is read yet; what is there and differs from the spec is made again, and then the consumer
 * goes first: messages that pass while one of the views is missing would be lost for it. Idempotent, at any point.
 * @returns whether the consumer is there
 * @throws Failure `TargetTaken`, and those of ClickHouse
 */
export async function makeEngine(ch: ClickHouseClient, spec: EngineSpec): Promise<boolean> {
  const names = engineNames(spec.table.target);
  const found = await findOwn(ch, spec.table, spec);
  const passive = ENGINE_ROLES.filter((role) => role !== 'consumer');
  const stale = passive.filter((role) => found.get(role)?.isCurrent !== true);
  const consumer = found.get('consumer');
  const isReading = consumer?.isCurrent === true && stale.length === 0;
  if (consumer !== undefined && !isReading) await dropObject(ch, names, 'consumer');
  for (const role of stale) {
    if (found.has(role)) await dropObject(ch, names, role);
    await create(ch, names, spec, role);
  }
  return isReading;
}

/** From here on the engine reads. */
export async function createConsumer(ch: ClickHouseClient, spec: EngineSpec): Promise<void> {
  await create(ch, engineNames(spec.table.target), spec, 'consumer');
}

/** @returns whether it was there */
export async function dropConsumer(ch: ClickHouseClient, owner: EngineOwner): Promise<boolean> {
  const found = await findOwn(ch, owner);
  if (!found.has('consumer')) return false;
  await dropObject(ch, engineNames(owner.target), 'consumer');
  return true;
}

export async function dropObject(ch: ClickHouseClient, names: EngineNames, role: EngineRole): Promise<void> {
  const statement = /* sql */ `drop ${isView(role) ? 'view' : 'table'} if exists ${names.sql[role]} sync`;
  await execute(ch, statement, `dropping ${names.shown[role]}`);
}

async function create(ch: ClickHouseClient, names: EngineNames, spec: EngineSpec, role: EngineRole): Promise<void> {
  const statement = `${definitionOf(names, spec, role)}\ncomment ${quoteText(commentOf(names, spec, role))}`;
  try {
    await execute(ch, statement, `creating ${names.shown[role]}`);
  } catch (error) {
    throw (role === 'kafka' && explainKafkaTable(error, spec)) || error;
  }
}

function commentOf(names: EngineNames, spec: EngineSpec, role: EngineRole): string {
  // The comment is for all to read: a short hash of a password would help to guess it.
  const open = Object.entries(spec.connection)
    .filter(([name]) => name !== PASSWORD_SETTING)
    .map(([name, value]) => [name, name === REGISTRY_SETTING ? value.replace(/\/\/.*@/u, '//') : value] as const);
  const definition = definitionOf(names, { ...spec, connection: Object.fromEntries(open) }, role);
  const fingerprint = createHash('sha256').update(definition).digest('hex').slice(0, 12);
  return `${engineMark(spec.table, role)}${fingerprint}`;
}

function definitionOf(names: EngineNames, spec: EngineSpec, role: EngineRole): string {
  switch (role) {
    case 'errors':
      return errorsTableSql(names);
    case 'messages':
      return messagesTableSql(names, spec);
    case 'rows':
      return rowsSql(names, spec);
    case 'marks':
      return marksSql(names, spec);
    case 'refused':
      return refusedSql(names);
    case 'kafka':
      return kafkaTableSql(names, spec);
    case 'consumer':
      return isForeign(spec) ? debeziumConsumerSql(names, spec) : consumerSql(names, spec);
    default:
      return role satisfies never;
  }
}

const UNKNOWN_SETTING = 115;
const UNKNOWN_STORAGE = 56;

/** @returns undefined where the error says nothing of its own about Kafka */
function explainKafkaTable(error: unknown, { connection }: EngineSpec): Failure | undefined {
  const code = error instanceof Failure ? (error.cause as { code?: unknown } | undefined)?.code : undefined;
  if (code === UNKNOWN_STORAGE)
    return new Failure('Misconfigured', {
      message: 'This ClickHouse is built without the Kafka engine.',
      remedy: 'Remove the table, then add it with --loader worker.',
      cause: error,
    });
  if (code !== UNKNOWN_SETTING) return undefined;
  const isSecured = Object.keys(connection).length > 1;
  return new Failure('Misconfigured', {
    message: `This ClickHouse does not know a setting of the Kafka engine that is needed${isSecured ? ' to reach Kafka by TLS or as a user (kafka_security_protocol, kafka_sasl_...)' : ''}.`,
    remedy: 'Upgrade ClickHouse (tried with 26.7), or remove the table and add it with --loader worker.',
    cause: error,
  });
}
