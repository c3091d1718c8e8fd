import { columnType, VERSION_COLUMN } from '../../domain/column-type.js';
import { DELETION_ENVELOPE, ROW_ENVELOPE } from '../../domain/envelope.js';
import { literal } from '../../domain/identifier.js';
import type { Column } from '../../domain/replicated-table.js';
import { keyColumn } from './names.js';
import { fieldsJson, keyFields } from './row-json.js';

/**
 * The beginning of Debezium's envelope of a row of `source`, up to the version: `{"before":null,"after":{..},"source":{"_version":"1"`. What is
 * the same in all messages of a table is not sent by PostgreSQL: `EnvelopeEncoder` writes it behind that.
 */
export function rowEnvelope(columns: readonly Column[], version: string): string {
  return fieldsJson(columns, version, {
    form: 'debezium',
    before: `${ROW_ENVELOPE}{`,
    between: `},"source":{"${VERSION_COLUMN}":"`,
    after: '"',
  });
}

/** The same of a row that is gone: `{"before":{..},"after":null,"source":{"_version":"1"`, with the columns of the key. */
export function deletedEnvelope(key: readonly Column[], version: string): string {
  const before = keyObject(key, (_, index) => `batch.${keyColumn(index)}`);
  return `${literal(DELETION_ENVELOPE)} || ${before} || ${literal(`,"after":null,"source":{"${VERSION_COLUMN}":"`)} || ${version} || '"'`;
}

/** The key as Debezium has it: an object. */
export function keyObject(key: readonly Column[], value: (column: Column, index: number) => string): string {
  const fields = keyFields(key, (column, index) => {
    const { debezium, exactJson } = columnType(column);
    return (debezium ?? exactJson)(value(column, index));
  });
  return `'{' || ${fields} || '}'`;
}
