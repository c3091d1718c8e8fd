import { Registry } from '../pipeline/registry.js';
import type { Capture } from './capture.js';
import { debeziumCapture } from './debezium/debezium-capture.js';
import { outboxCapture } from './outbox/outbox-capture.js';
import { notifyCapture, pollCapture } from './poll/poll-capture.js';
import { walCapture } from './wal/wal-capture.js';

/** To add a capture: a file that exports a `Capture`, and its name in this list. */
export const CAPTURES = new Registry<Capture>('capture', [
  outboxCapture,
  pollCapture,
  notifyCapture,
  walCapture,
  debeziumCapture,
]);
