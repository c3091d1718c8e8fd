import type { TopicPosition } from './topic-source.js';

/** Where a loader stood. */
export interface EarlierPosition {
  /** It was confirmed at this time or before, by the clock of the worker, milliseconds. */
  readonly at: number;
  readonly offsets: Readonly<Record<string, string>>;
  readonly highest?: string;
}

/** A server writes what it was given to its disk within a minute or so. */
const AT_RISK_MS = 10 * 60_000;
/** Each confirmation writes all of them into the ledger: few are enough. */
const INTERVAL_MS = 5 * 60_000;

/** The position with those of the last minutes, of which the oldest is from before the time at risk. */
export function withEarlier(before: TopicPosition, after: TopicPosition, nowMs: number): TopicPosition {
  const earlier = before.earlier ?? [];
  const last = earlier.at(-1);
  if (last !== undefined && nowMs - last.at < INTERVAL_MS) return { ...after, earlier, confirmedAt: nowMs };
  const oldest = earlier.findLastIndex(({ at }) => at < nowMs - AT_RISK_MS);
  const { offsets, highest } = before;
  const mark = { at: nowMs, offsets, ...(highest === undefined ? {} : { highest }) };
  return { ...after, earlier: [...earlier.slice(Math.max(0, oldest)), mark], confirmedAt: nowMs };
}

/**
 * Where to read on from, so that nothing is missed that a server may have lost when it was started.
 * @returns undefined where nothing was confirmed since shortly before that, or nothing is known
 */
export function safePosition(
  { earlier = [], confirmedAt = 0 }: TopicPosition,
  startedAtMs: number,
): EarlierPosition | undefined {
  const safeMs = startedAtMs - AT_RISK_MS;
  if (confirmedAt < safeMs) return undefined;
  return earlier.findLast(({ at }) => at < safeMs) ?? earlier[0];
}

/** The position after going back. What is below `low` has expired: such a partition stays where it is. */
export function goBackTo(
  position: TopicPosition,
  to: EarlierPosition,
  low: Readonly<Record<string, { readonly low: string }>>,
): TopicPosition {
  const { highest: _, ...rest } = position;
  const stays = (of: string): boolean => BigInt(to.offsets[of] ?? '0') < BigInt(low[of]?.low ?? '0');
  const partitions = Object.keys(position.offsets);
  return {
    ...rest,
    offsets: Object.fromEntries(
      partitions.map((of) => [of, (stays(of) ? undefined : to.offsets[of]) ?? position.offsets[of] ?? '0']),
    ),
    headers: Object.fromEntries(Object.entries(position.headers).filter(([of]) => stays(of))),
    ...(to.highest === undefined ? {} : { highest: to.highest }),
    earlier: (position.earlier ?? []).filter(({ at }) => at <= to.at),
    confirmedAt: to.at,
    returns: (position.returns ?? 0) + 1,
  };
}
