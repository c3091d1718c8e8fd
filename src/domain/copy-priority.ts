/** The order in which copies get the connections that they share: those of a higher priority first. */
export const COPY_PRIORITIES = ['high', 'normal', 'low'] as const;
export type CopyPriority = (typeof COPY_PRIORITIES)[number];

export const DEFAULT_PRIORITY: CopyPriority = 'normal';

export function isCopyPriority(value: unknown): value is CopyPriority {
  return (COPY_PRIORITIES as readonly unknown[]).includes(value);
}

/** 0 goes first. */
export function placeOf(priority: CopyPriority): number {
  return COPY_PRIORITIES.indexOf(priority);
}
