import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import type { MessageSink } from '../../domain/logical-message.js';
import { Failure } from '../../failure/failure.js';
import { policyOf } from '../../failure/kinds.js';
import { Reading, type ReadingOptions } from './reading.js';
import { startReplication } from './replication-stream.js';
import { identifySystem, requireSameHistory } from './slot-server.js';
import { noteMessages, readReader, type ReaderRow } from './state.js';
import { readWholeSlot } from './verify.js';

const IN_USE = '55006';
/** PostgreSQL ends a connection from which it hears nothing for `wal_sender_timeout`. */
const REPORT_MS = 2_000;
const KEEPALIVE_MS = 50;
/** It answers each report. Without an answer the connection is dead, or the server is frozen. */
const SILENCE_MS = 60_000;
const STOP_MS = 2_000;
const REPLAYED_MS = 500;

/**
 * Reads a slot into the outboxes, until the signal is aborted or something fails.
 * @returns `busy` where another worker reads it, or nobody has to
 * @throws Failure `SourceChanged` where changes may be missing; `Fenced`; `SourceUnavailable`; the errors of PostgreSQL
 */
export async function readSlotOnce(options: ReadingOptions): Promise<'busy' | 'stopped'> {
  const { slot, source, slots, connect, signal } = options;
  // The last table was removed: who held the reader for it comes to its end.
  const reader = await readReader(source, slot);
  if (reader === undefined) return 'busy';
  const whole = await readWholeSlot({ source, slots }, slot);
  if (typeof whole === 'string') throw new Failure('SourceChanged', { message: `${whole}.` });
  if (whole.slot.pid !== null) return 'busy';
  const messages = await openMessages(options, reader);
  await using writing = await connect('wal keys');
  await using replication = await connect('wal', { replication: true });
  if (slots !== source) await requireSameHistory({ source, slots }, await identifySystem(replication));
  const reading = new Reading(options, writing, messages);
  const stream = startReplication(replication, slot, reading, { messages: messages !== undefined });
  reading.begin(stream);
  let giveUp = (): void => undefined;
  const givenUp = new Promise<void>((resolve) => (giveUp = resolve));
  const stop = (): void => {
    stream.stop();
    setTimeout(giveUp, STOP_MS).unref();
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const timers = [
    setInterval(() => reading.report({ wantsReply: true }), REPORT_MS),
    setInterval(() => reading.requestKeepalive(), KEEPALIVE_MS),
    setInterval(() => reading.requireAnswer(SILENCE_MS), REPORT_MS),
    ...(slots === source ? [] : [setInterval(() => void reading.acknowledgeReplayed(), REPLAYED_MS)]),
  ];
  try {
    await Promise.race([stream.ended, reading.failed, givenUp]);
    await Promise.race([reading.settled(), sleep(STOP_MS, undefined, { ref: false })]);
    return 'stopped';
  } catch (error) {
    if (error instanceof DatabaseError && error.code === IN_USE) return 'busy';
    throw error;
  } finally {
    timers.forEach(clearInterval);
    signal.removeEventListener('abort', stop);
  }
}

/**
 * What the settings say is noted: a worker that was not told sends messages to the same topic, and drops none. A topic that is refused is not:
 * who takes it out of the settings would be refused as well.
 */
async function openMessages(
  { slot, source, messages }: ReadingOptions,
  { messages: noted }: ReaderRow,
): Promise<MessageSink | undefined> {
  if (messages === undefined) return undefined;
  const topic = messages.topic === undefined ? noted : messages.topic;
  const note = async (): Promise<void> => {
    if (topic !== noted) await noteMessages(source, slot, topic);
  };
  try {
    const sink = topic === null ? undefined : await messages.open(topic);
    await note();
    return sink;
  } catch (error) {
    if (!(error instanceof Failure) || policyOf(error.kind).treatment === 'transient') await note();
    throw error;
  }
}
