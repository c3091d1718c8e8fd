import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import type { CursorSequence } from './sequence.js';

/** What a table that is polled has in its route beside the kind. */
export interface PollSpec {
  /** The column whose numbers are followed. */
  readonly cursor: string;
  readonly sequence: CursorSequence;
  /** The longest pause between two looks; the capture's own when absent. */
  readonly intervalMs?: number | undefined;
  /** `notify`: the user's own channel. */
  readonly channel?: string | undefined;
}

/** @throws Failure `Misconfigured` for a ledger that somebody wrote into */
export function pollSpecOf({ route }: Pick<ReplicatedTable, 'route'>): PollSpec {
  const { cursor, sequence, intervalMs, channel } = route.capture as Partial<PollSpec>;
  if (typeof cursor === 'string' && typeof sequence?.oid === 'string') return { cursor, sequence, intervalMs, channel };
  throw new Failure('Misconfigured', {
    message: 'The ledger does not say by which column this table is polled.',
    remedy: 'Remove the table and add it again.',
  });
}
