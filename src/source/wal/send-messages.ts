import type { MessageSink } from '../../domain/logical-message.js';
import type { Queryable } from '../../connect/queryable.js';
import type { PendingChanges } from './pending-changes.js';
import { waitUntilVisible, type WaitOptions } from './visible.js';

const WAIT_EVERY_MS = 1_000;

export interface SendOptions extends WaitOptions {
  /** Called after the attempt. */
  readonly onSent?: ((error?: unknown) => void) | undefined;
}

/**
 * Sends the logical messages of a batch, and waits until they are durable. As with keys: nobody reads one before everybody sees what was
 * committed with it.
 * @throws Failure those of the sink
 */
export async function sendMessages(
  pg: Queryable,
  { messages, xids }: Pick<PendingChanges, 'messages' | 'xids'>,
  sink: MessageSink | undefined,
  { onSent, ...options }: SendOptions,
): Promise<void> {
  if (messages === undefined || sink === undefined) return;
  await waitUntilVisible(pg, xids, options);
  // Kafka may take longer than PostgreSQL may be silent.
  const waiting = setInterval(() => options.onWait?.(), WAIT_EVERY_MS);
  try {
    await sink.send(messages);
    onSent?.();
  } catch (error) {
    onSent?.(error);
    throw error;
  } finally {
    clearInterval(waiting);
  }
}
