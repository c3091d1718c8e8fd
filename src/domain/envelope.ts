/** What Debezium's envelope of a row begins with, up to the row. */
export const ROW_ENVELOPE = '{"before":null,"after":';
/** Of a deletion, up to the key. */
export const DELETION_ENVELOPE = '{"before":';
