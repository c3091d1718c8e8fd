import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { TEMPORAL_METRICS } from '../../src/observe/metrics-page.js';
import { METRICS, type Metric } from '../../src/observe/metrics.js';
import { packageRoot } from '../../src/package-root.js';

const ALERTS = join('deploy', 'prometheus', 'alerts.yml');
const ALERT_TESTS = join('deploy', 'prometheus', 'alerts.test.yml');
const read = (name: string): string => readFileSync(join(packageRoot, name), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const rules = (parse(read(ALERTS)) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(read(join('deploy', 'grafana', 'pg2click.json'))) as Dashboard;
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const)),
];
/** Labels that Prometheus and Temporal's exporter add. */
const OTHER_LABELS = ['instance', 'job', 'le'];

/** Words of PromQL that are no series. Functions and aggregations are told by the parenthesis that follows. */
const KEYWORDS = new Set(['and', 'or', 'unless', 'bool', 'offset']);

/** What an expression asks for: series with the labels it matches on. `promtool`, where it is there, checks the rest of the syntax. */
function selectorsOf(expr: string): { name: string; labels: string[] }[] {
  const text = expr
    .replaceAll(/"[^"]*"/gu, '""')
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gu, ' ')
    .replaceAll(/\[[^\]]*\]/gu, ' ');
  return [...text.matchAll(/\b([a-z_:][\w:]*)\b(?!\s*\()\s*(\{[^}]*\})?/giu)]
    .filter(([, name = '']) => !KEYWORDS.has(name))
    .map(([, name = '', matchers = '']) => ({
      name,
      labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/gu)].map(([, label = '']) => label),
    }));
}

function metricOf(series: string): Metric | undefined {
  const all: Readonly<Record<string, Metric>> = METRICS;
  const base = series.replace(/_(?:bucket|sum|count)$/u, '');
  return all[series] ?? (all[base]?.kind === 'histogram' ? all[base] : undefined);
}

it('a misspelt metric and a label that it has not are noticed', () => {
  const expr =
    'sum by (a) (rate(x_total{b="c{,}", e!~"f"}[$__rate_interval])) > on (d) group_left () y offset 5m and z{} > 1e9';
  expect(selectorsOf(expr)).toEqual([
    { name: 'x_total', labels: ['b', 'e'] },
    { name: 'y', labels: [] },
    { name: 'z', labels: [] },
  ]);
  expect(metricOf('pg2click_lag_second')).toBeUndefined();
  expect(metricOf('pg2click_lag_seconds_bucket')).toBeUndefined();
});

it.each(expressions)('"%s" asks only for metrics that workers offer', (_, expr) => {
  const selectors = selectorsOf(expr);
  expect(selectors.length).toBeGreaterThan(0);
  for (const { name, labels } of selectors) {
    if (Object.hasOwn(TEMPORAL_METRICS, name.replace(/_bucket$/u, ''))) continue;
    const metric = metricOf(name);
    expect(metric, name).toBeDefined();
    for (const label of labels)
      expect([...(metric?.labels ?? []), ...OTHER_LABELS], `${name}{${label}}`).toContain(label);
  }
});

it.each(rules)('$alert waits, has a severity, and says where to read on', (rule) => {
  expect(rule.for).toMatch(/^\d+[mh]$/u);
  expect(['warning', 'critical']).toContain(rule.labels['severity']);
  expect(rule.annotations['summary']).toBeTruthy();
  expect(rule.annotations['description']).toBeTruthy();
  const [, page = '', anchor = ''] = /^(docs\/[\w-]+\.md)#([\w-]+)$/u.exec(rule.annotations['runbook'] ?? '') ?? [];
  const anchors = [...read(page).matchAll(/^#+ (.+)$/gmu)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w -]/gu, '')
      .replaceAll(' ', '-'),
  );
  expect(anchors).toContain(anchor);
});

it('every alert is tried by alerts.test.yml', () => {
  const tests = read(ALERT_TESTS);
  expect(rules.length).toBeGreaterThan(10);
  for (const { alert } of rules) expect(tests).toMatch(new RegExp(`\\b${alert}\\b`, 'u'));
});

it('the dashboard is one that Grafana takes: panels with targets that do not overlap', () => {
  expect(dashboard).toMatchObject({ uid: 'pg2click', title: 'pg2click' });
  expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  for (const { title, targets } of panels) expect(targets?.length, title).toBeGreaterThan(0);
  const taken = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.has(`${x},${y}`), title).toBe(false);
        taken.add(`${x},${y}`);
      }
  }
  const variables = dashboard.templating.list.map(({ name }) => name);
  const used = [...JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/gu)].map(([, name = '']) => name);
  for (const name of used) expect([...variables, '__rate_interval', '__all']).toContain(name);
});

it('promtool agrees with the rules and their tests, where there is one', () => {
  for (const args of [
    ['check', 'rules', ALERTS],
    ['test', 'rules', ALERT_TESTS],
  ]) {
    const { error, status, stdout, stderr } = spawnSync('promtool', args, { cwd: packageRoot, encoding: 'utf8' });
    if (error === undefined) expect(status, `${stdout}${stderr}`).toBe(0);
    else expect(error).toMatchObject({ code: 'ENOENT' });
  }
});
