import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { packageRoot } from '../../src/package-root.js';
import { evaluate, identify, vectorOf, type Labels, type Moment } from './evaluate.js';
import { durationSeconds, parsePromql, type Expression } from './promql.js';
import type { Timeline } from './timeline.js';

export const ALERTS_FILE = join(packageRoot, 'deploy', 'prometheus', 'alerts.yml');

interface Rule {
  readonly alert: string;
  readonly expression: Expression;
  /** It is raised once it has held for so many seconds. */
  readonly holds: number;
  readonly labels: Labels;
}

/** An alert at one moment, with its own labels. */
export interface RaisedAlert {
  readonly alert: string;
  readonly labels: Labels;
}

/** An alert that was raised for one set of labels, once or more often. */
export interface FiredAlert {
  readonly alert: string;
  readonly severity: string;
  /** Its labels, for a person. */
  readonly subject: string;
  /** ISO 8601. */
  readonly firstAt: string;
  /** How long it was raised, in all. */
  readonly seconds: number;
}

/** The shipped rules, evaluated moment by moment as Prometheus does. */
export class Alerts {
  readonly #rules = readRules();
  /** Since when each holds, by rule and labels. */
  readonly #since = new Map<string, number>();

  /** @param moment later than that of the call before @returns those that are raised then */
  at(moment: Moment): readonly RaisedAlert[] {
    const raised: RaisedAlert[] = [];
    const holding = new Set<string>();
    for (const { alert, expression, holds, labels } of this.#rules)
      for (const point of vectorOf(evaluate(expression, moment))) {
        const all = { ...point.labels, ...labels };
        const id = `${alert} ${identify(all)}`;
        holding.add(id);
        const since = this.#since.get(id) ?? moment.at;
        this.#since.set(id, since);
        if (moment.at - since >= holds) raised.push({ alert, labels: all });
      }
    for (const id of this.#since.keys()) if (!holding.has(id)) this.#since.delete(id);
    return raised;
  }
}

const EVERY_SECONDS = 15;

/** @returns what a night's metrics would have raised, in the order in which it was raised first */
export function firedAlerts(timeline: Timeline): readonly FiredAlert[] {
  const { from, to } = timeline.span();
  const alerts = new Alerts();
  const fired = new Map<string, FiredAlert>();
  for (let at = from; at <= to; at += EVERY_SECONDS) {
    // A series that a scrape does not bring is gone at once, and a scrape may be late.
    for (const { alert, labels } of alerts.at({ timeline, at, lookback: EVERY_SECONDS * 2 })) {
      const id = `${alert} ${identify(labels)}`;
      const before = fired.get(id);
      const { severity = '', pipeline: _, ...subject } = labels;
      fired.set(id, {
        alert,
        severity,
        subject: Object.values(subject).join(' '),
        firstAt: before?.firstAt ?? new Date(at * 1_000).toISOString(),
        seconds: (before?.seconds ?? 0) + EVERY_SECONDS,
      });
    }
  }
  return [...fired.values()];
}

function readRules(): readonly Rule[] {
  const { groups } = parse(readFileSync(ALERTS_FILE, 'utf8')) as {
    groups: { rules: { alert: string; expr: string; for: string; labels: Labels }[] }[];
  };
  return groups
    .flatMap(({ rules }) => rules)
    .map(({ alert, expr, for: holds, labels }) => ({
      alert,
      expression: parsePromql(expr),
      holds: durationSeconds(holds),
      labels,
    }));
}
