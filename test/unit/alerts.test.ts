import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { Alerts, ALERTS_FILE, firedAlerts } from '../../dev/metrics/alerts.js';
import { evaluate, identify, vectorOf, type Labels } from '../../dev/metrics/evaluate.js';
import { parsePromql, type Selector } from '../../dev/metrics/promql.js';
import { Timeline } from '../../dev/metrics/timeline.js';

/*
 * The tests that promtool has for the shipped rules, without promtool. The evaluator is of this checkout, for what a night's metrics
 * would have raised.
 */

interface RuleTest {
  readonly name: string;
  readonly input_series: readonly { readonly series: string; readonly values: string }[];
  readonly alert_rule_test?: readonly {
    readonly eval_time: string;
    readonly alertname: string;
    readonly exp_alerts: readonly { readonly exp_labels: Labels }[];
  }[];
  readonly promql_expr_test?: readonly {
    readonly expr: string;
    readonly eval_time: string;
    readonly exp_samples: readonly { readonly labels: string; readonly value: number }[];
  }[];
}

const { tests } = parse(readFileSync(ALERTS_FILE.replace('alerts.yml', 'alerts.test.yml'), 'utf8')) as {
  tests: readonly RuleTest[];
};

it.each(tests)('$name', ({ input_series: input, alert_rule_test: rules = [], promql_expr_test: expressions = [] }) => {
  const timeline = new Timeline();
  for (const { series, values } of input) {
    const { name, labels } = seriesOf(series);
    valuesOf(values).forEach((value, minute) => {
      if (value !== undefined) timeline.add(minute * 60, [{ name, labels, value }]);
    });
  }
  const last = Math.max(...[...rules, ...expressions].map((each) => minutesOf(each.eval_time)));
  const alerts = new Alerts();
  for (let minute = 0; minute <= last; minute++) {
    const moment = { timeline, at: minute * 60, lookback: 300 };
    const raised = alerts.at(moment);
    for (const { eval_time: time, alertname, exp_alerts: expected } of rules)
      if (minutesOf(time) === minute)
        expect(sorted(raised.filter(({ alert }) => alert === alertname).map(({ labels }) => labels))).toEqual(
          sorted(expected.map((each) => each.exp_labels)),
        );
    timeline.add(
      moment.at,
      raised.map(({ alert, labels }) => ({
        name: 'ALERTS',
        labels: { alertname: alert, alertstate: 'firing', ...labels },
        value: 1,
      })),
    );
    for (const { expr, eval_time: time, exp_samples: expected } of expressions)
      if (minutesOf(time) === minute)
        expect(
          sorted(vectorOf(evaluate(parsePromql(expr), { ...moment, lookback: 30 })).map(({ labels }) => labels)),
        ).toEqual(sorted(expected.map((each) => seriesOf(each.labels).labels)));
  }
});

it('what was raised is told once, with how long it was', () => {
  const timeline = new Timeline();
  const labels = { pipeline: 'p', table: 'public.a', kind: 'RowRefused' };
  for (let at = 0; at <= 300; at += 15) {
    timeline.add(at, [{ name: 'pg2click_parked', labels, value: at < 200 ? 1 : Number.NaN }]);
    timeline.add(at, [{ name: 'pg2click_worker_info', labels: { role: 'all' }, value: 1 }]);
    timeline.add(at, [{ name: 'pg2click_collected_timestamp_seconds', labels: {}, value: at + 1 }]);
  }
  expect(firedAlerts(timeline)).toEqual([
    {
      alert: 'Pg2clickParked',
      severity: 'critical',
      subject: 'public.a RowRefused',
      firstAt: '1970-01-01T00:01:00.000Z',
      seconds: 150,
    },
  ]);
});

it.each(['max by (', 'a{b="c"', 'a b', '1 +', 'a $ b'])('what is no expression is refused: %s', (text) => {
  expect(() => parsePromql(text)).toThrow(SyntaxError);
});

function seriesOf(text: string): { name: string; labels: Labels } {
  const { name, matchers } = parsePromql(text) as Selector;
  return { name, labels: Object.fromEntries(matchers.map(({ label, value }) => [label, value])) };
}

/** `5x30`: 5, and 30 times more. `0+60x30`: by 60 more each time. `_x10`: nothing, ten times. */
function valuesOf(text: string): readonly (number | undefined)[] {
  return text.split(' ').flatMap((part) => {
    const [, missing] = /^_x(\d+)$/u.exec(part) ?? [];
    if (missing !== undefined) return Array.from({ length: Number(missing) }, () => undefined);
    const [, first = part, step = '+0', times = '0'] = /^([\d.e]+)([+-][\d.e]+)?x(\d+)$/u.exec(part) ?? [];
    return Array.from({ length: Number(times) + 1 }, (_, index) => Number(first) + index * Number(step));
  });
}

function minutesOf(time: string): number {
  return Number(time.slice(0, -1)) * (time.endsWith('h') ? 60 : 1);
}

function sorted(all: readonly Labels[]): readonly string[] {
  return all.map(identify).toSorted();
}
