import type { Meters } from './meters.js';
import type { GaugeName, LabelsOf } from './metrics.js';

/** A value of one gauge, with all its labels. */
export type Reading = {
  readonly [Name in GaugeName]: { readonly name: Name; readonly value: number; readonly labels: LabelsOf<Name> };
}[GaugeName];

/**
 * Gauges of things that come and go. Invariant: what was not in the last reading is NaN, so no gauge tells for ever of a table
 * that was removed or a server that is away.
 */
export class GaugeSet {
  readonly #meters: Meters;
  #shown = new Map<string, Reading>();

  constructor(meters: Meters) {
    this.#meters = meters;
  }

  /** Shows these and nothing else; nothing at all where they could not be read. */
  replace(readings: readonly Reading[]): void {
    const now = new Map(readings.map((reading) => [keyOf(reading), reading]));
    for (const [key, reading] of this.#shown) if (!now.has(key)) this.#write({ ...reading, value: Number.NaN });
    for (const reading of readings) this.#write(reading);
    this.#shown = now;
  }

  #write({ name, value, labels }: Reading): void {
    this.#meters.set(name, value, labels as LabelsOf<typeof name>);
  }
}

function keyOf({ name, labels }: Reading): string {
  return JSON.stringify([name, Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}
