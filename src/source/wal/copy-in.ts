import type { ClientBase, Connection, Submittable } from 'pg';

/** What `pg` calls when PostgreSQL is ready to take rows; its types do not know these two. */
interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** `COPY .. FROM STDIN` of one text, on a connection of `pg`. */
class CopyIn implements Submittable {
  readonly #sql: string;
  readonly #text: Buffer;
  readonly #settled: (error?: Error) => void;

  constructor(sql: string, text: Buffer, settled: (error?: Error) => void) {
    this.#sql = sql;
    this.#text = text;
    this.#settled = settled;
  }

  submit(connection: Connection): undefined {
    connection.query(this.#sql);
  }

  handleCopyInResponse(connection: unknown): void {
    const copy = connection as CopyConnection;
    copy.sendCopyFromChunk(this.#text);
    copy.endCopyFrom();
  }

  handleCommandComplete(): void {
    return undefined;
  }

  handleReadyForQuery(): void {
    this.#settled();
  }

  handleError(error: Error): void {
    this.#settled(error);
  }
}

/** @param sql one `copy .. from stdin` @param text all of its rows: held until PostgreSQL has them */
export function copyIn(pg: ClientBase, sql: string, text: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    pg.query(new CopyIn(sql, text, (error) => (error === undefined ? resolve() : reject(error))));
  });
}
