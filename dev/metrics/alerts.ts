import type { Timeline } from './timeline.js';

/** An alert that was raised, once for each set of labels. */
export interface FiredAlert {
  readonly alert: string;
  readonly severity: string;
  /** Its labels. */
  readonly subject: string;
  readonly firstAt: string;
  /** How long it was raised, in all. */
  readonly seconds: number;
}

export function firedAlerts(_timeline: Timeline): readonly FiredAlert[] {
  return [];
}
