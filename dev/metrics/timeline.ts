import type { Sample } from './scrape.js';

/** One series: when, in Unix seconds, and what. Ascending. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly points: { readonly at: number; readonly value: number }[];
}

/** What was scraped, series by series. */
export class Timeline {
  readonly #series = new Map<string, Series>();
  readonly #byName = new Map<string, Series[]>();

  add(at: number, samples: readonly Sample[]): void {
    for (const { name, labels, value } of samples) {
      const id = JSON.stringify([name, Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
      let series = this.#series.get(id);
      if (series === undefined) {
        series = { name, labels, points: [] };
        this.#series.set(id, series);
        this.#byName.set(name, [...(this.#byName.get(name) ?? []), series]);
      }
      series.points.push({ at, value });
    }
  }

  all(): readonly Series[] {
    return [...this.#series.values()];
  }

  /** Of the first and the last of all points; empty where there is none. */
  span(): { readonly from: number; readonly to: number } {
    const ends = this.all().map(({ points }) => [points[0]?.at ?? 0, points.at(-1)?.at ?? 0] as const);
    return {
      from: ends.reduce((least, [from]) => Math.min(least, from), Number.POSITIVE_INFINITY),
      to: ends.reduce((most, [, to]) => Math.max(most, to), Number.NEGATIVE_INFINITY),
    };
  }

  named(name: string): readonly Series[] {
    return this.#byName.get(name) ?? [];
  }
}
