import { createHash } from 'node:crypto';
import type { TableName } from '../domain/table-name.js';

/** Kafka's limit for a topic's name, in characters. */
const LONGEST_NAME = 249;
const HASH_LENGTH = 10;
/** The dot is legal in Kafka, and separates the parts here. */
const ILLEGAL = /[^A-Za-z0-9_-]/gu;

/**
 * The topic of a table that names none: `<pipeline>.<schema>.<table>`. Where a part holds a character that Kafka refuses (or a
 * dot), or where all is too long, those become `-`, and a hash of the true name follows as a fourth part. Two tables never get
 * one name, because a name without a hash has exactly two dots.
 */
export function topicNameFor(pipeline: string, name: TableName): string {
  const parts = [pipeline, name.schema, name.table];
  const plain = parts.join('.');
  const legal = parts.map((part) => part.replaceAll(ILLEGAL, '-')).join('.');
  if (legal === plain && plain.length <= LONGEST_NAME) return plain;
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, HASH_LENGTH);
  return `${legal.slice(0, LONGEST_NAME - HASH_LENGTH - 1)}.${hash}`;
}
