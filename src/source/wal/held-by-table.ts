import { DatabaseError } from 'pg';

/** PostgreSQL says that the outbox is gone, is another table than it was, or may not be used: class 42. */
const OF_TABLE = /^42/u;
const FORBIDDEN = '42501';
const LOCKED = '55P03';

/** What was read cannot be written into the outbox of one table. As long as that is so, it holds up all tables of its slot. */
export class HeldByTable extends Error {
  /** Of the table, in the ledger. */
  readonly id: string;

  constructor(id: string, cause: DatabaseError) {
    super(`the outbox of table ${id} cannot be written`, { cause });
    this.id = id;
  }

  /** Nobody can make that outbox whole again: what is missing in it would be missing in ClickHouse. */
  get isForGood(): boolean {
    const { code } = this.cause as DatabaseError;
    return code !== LOCKED && code !== FORBIDDEN;
  }
}

/** @param id of the table whose outbox was written to. @returns the error itself where it is not that table's */
export function heldBy(id: string | undefined, error: unknown): unknown {
  if (id === undefined || !(error instanceof DatabaseError)) return error;
  const { code = '' } = error;
  return code === LOCKED || OF_TABLE.test(code) ? new HeldByTable(id, error) : error;
}
