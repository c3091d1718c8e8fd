import type { Span } from './change.js';

/** What `pg_logical_emit_message` has written. Its bytes are valid until the call with it returns. */
export interface LogicalMessage {
  readonly prefix: Span;
  readonly content: Span;
  /** Where its record begins in the WAL, as PostgreSQL prints it. */
  readonly lsn: string;
  /** Undefined for a message that is sent whether its transaction commits or not. */
  readonly transaction: MessageTransaction | undefined;
}

/** As text. */
export interface MessageTransaction {
  /** Where its commit record begins. */
  readonly commit: string;
  /** 32 bits. */
  readonly xid: string;
  /** Time of the commit. */
  readonly at: string;
}

/** Messages that wait to be sent, in their order. */
export interface MessageBatch {
  /** Copies the message. */
  add(message: LogicalMessage): void;
}

/** Where logical messages go. */
export interface MessageSink {
  begin(): MessageBatch;
  /** Resolves when every message is durable. After a rejection some may be. @throws Failure */
  send(batch: MessageBatch): Promise<void>;
}
