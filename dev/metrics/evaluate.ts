import type { Binary, Expression, Matcher, Selector } from './promql.js';
import { rangeFunctions } from './range-functions.js';
import type { Series, Timeline } from './timeline.js';

export type Labels = Readonly<Record<string, string>>;

/** One value of an instant vector. */
export interface Point {
  readonly labels: Labels;
  readonly value: number;
}

export type Value = number | readonly Point[];

export interface Moment {
  readonly timeline: Timeline;
  /** Unix time in seconds. */
  readonly at: number;
  /** A series that says nothing for so many seconds is gone. */
  readonly lookback: number;
}

/** As Prometheus would. Labels of a vector that was made do not have the name of a metric. */
export function evaluate(expression: Expression, moment: Moment): Value {
  switch (expression.kind) {
    case 'number':
      return expression.value;
    case 'selector':
      return select(expression, moment);
    case 'aggregate':
      return aggregate(expression.name, expression.by, vectorOf(evaluate(expression.of, moment)));
    case 'call':
      return call(expression.name, expression.args, moment);
    case 'binary':
      return combine(expression, evaluate(expression.left, moment), evaluate(expression.right, moment));
    default:
      throw new Error(`unknown expression ${JSON.stringify(expression satisfies never)}`);
  }
}

export function vectorOf(value: Value): readonly Point[] {
  return typeof value === 'number' ? [{ labels: {}, value }] : value;
}

function matching({ name, matchers }: Selector, timeline: Timeline): readonly Series[] {
  const named = name === '' ? timeline.all() : timeline.named(name);
  return named.filter(({ labels }) => matchers.every((matcher) => fits(matcher, labels[matcher.label] ?? '')));
}

function fits({ operator, value }: Matcher, label: string): boolean {
  const isEqual = operator.endsWith('~') ? new RegExp(`^(?:${value})$`, 'u').test(label) : label === value;
  return operator.startsWith('!') ? !isEqual : isEqual;
}

function select(selector: Selector, { timeline, at: now, lookback }: Moment): readonly Point[] {
  const at = now - selector.offset;
  return matching(selector, timeline).flatMap(({ labels, points }) => {
    const point = points.findLast((each) => each.at <= at);
    return point === undefined || point.at <= at - lookback ? [] : [{ labels, value: point.value }];
  });
}

const AGGREGATES: Readonly<Record<string, (values: readonly number[]) => number>> = {
  sum: (values) => values.reduce((sum, value) => sum + value, 0),
  count: (values) => values.length,
  // NaN only where there is nothing else.
  max: (values) => values.reduce((best, value) => (value > best || Number.isNaN(best) ? value : best), Number.NaN),
  min: (values) => values.reduce((best, value) => (value < best || Number.isNaN(best) ? value : best), Number.NaN),
};

function aggregate(name: string, by: readonly string[], points: readonly Point[]): readonly Point[] {
  const groups = new Map<string, { labels: Labels; values: number[] }>();
  for (const { labels, value } of points) {
    const kept = pick(labels, by);
    const id = identify(kept);
    const group = groups.get(id) ?? { labels: kept, values: [] };
    group.values.push(value);
    groups.set(id, group);
  }
  const of = AGGREGATES[name];
  if (of === undefined) throw new Error(`unknown aggregation ${name}`);
  return [...groups.values()].map(({ labels, values }) => ({ labels, value: of(values) }));
}

function call(name: string, args: readonly Expression[], moment: Moment): Value {
  const [first, second] = args;
  if (name === 'time') return moment.at;
  if (first === undefined) throw new Error(`${name} needs an argument`);
  if (name === 'absent') {
    const labels = first.kind === 'selector' ? labelsAsked(first) : {};
    return vectorOf(evaluate(first, moment)).length > 0 ? [] : [{ labels, value: 1 }];
  }
  if (name === 'histogram_quantile' && second !== undefined)
    return quantiles(Number(evaluate(first, moment)), vectorOf(evaluate(second, moment)));
  const of = rangeFunctions[name];
  if (of === undefined || first.kind !== 'selector' || first.range === undefined)
    throw new Error(`unknown function ${name}`);
  const to = moment.at - first.offset;
  const window = { from: to - first.range, to };
  const argument = second === undefined ? 0 : Number(evaluate(second, moment));
  return matching(first, moment.timeline).flatMap(({ labels, points }) => {
    const value = of(
      points.filter(({ at }) => at > window.from && at <= window.to),
      window,
      argument,
    );
    return value === undefined ? [] : [{ labels, value }];
  });
}

/** The labels of what is absent: those that were asked for by "=". */
function labelsAsked({ matchers }: Selector): Labels {
  return Object.fromEntries(
    matchers.filter(({ operator }) => operator === '=').map((each) => [each.label, each.value]),
  );
}

function quantiles(quantile: number, buckets: readonly Point[]): readonly Point[] {
  const histograms = new Map<string, { labels: Labels; buckets: { upTo: number; count: number }[] }>();
  for (const { labels, value } of buckets) {
    const { le = '', ...rest } = labels;
    const histogram = histograms.get(identify(rest)) ?? { labels: rest, buckets: [] };
    histogram.buckets.push({ upTo: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), count: value });
    histograms.set(identify(rest), histogram);
  }
  return [...histograms.values()].map((each) => ({
    labels: each.labels,
    value: quantileOf(
      quantile,
      each.buckets.toSorted((a, b) => a.upTo - b.upTo),
    ),
  }));
}

function quantileOf(quantile: number, buckets: readonly { upTo: number; count: number }[]): number {
  const total = buckets.at(-1)?.count ?? 0;
  if (!(total > 0)) return Number.NaN;
  const rank = quantile * total;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const [bucket, below] = [buckets[index], buckets[index - 1] ?? { upTo: 0, count: 0 }];
  if (bucket === undefined) return Number.NaN;
  if (bucket.upTo === Number.POSITIVE_INFINITY) return below.upTo;
  const share = (rank - below.count) / (bucket.count - below.count);
  return below.upTo + (bucket.upTo - below.upTo) * share;
}

const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
};

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
};

function combine({ operator, on }: Binary, left: Value, right: Value): Value {
  const among = (points: readonly Point[]): ReadonlySet<string> =>
    new Set(points.map(({ labels }) => identify(on === undefined ? labels : pick(labels, on))));
  const isIn = ({ labels }: Point, ids: ReadonlySet<string>): boolean =>
    ids.has(identify(on === undefined ? labels : pick(labels, on)));
  if (operator === 'or') {
    const ids = among(vectorOf(left));
    return [...vectorOf(left), ...vectorOf(right).filter((point) => !isIn(point, ids))];
  }
  if (operator === 'and' || operator === 'unless') {
    const ids = among(vectorOf(right));
    return vectorOf(left).filter((point) => isIn(point, ids) === (operator === 'and'));
  }
  const compare = COMPARISONS[operator];
  const compute = ARITHMETIC[operator];
  if (typeof left === 'number' && typeof right === 'number') {
    if (compare !== undefined) return compare(left, right) ? 1 : 0;
    return compute?.(left, right) ?? Number.NaN;
  }
  const pairs = pairsOf(left, right, on);
  if (compare !== undefined)
    return pairs
      .filter(({ a, b }) => compare(a, b))
      .map(({ labels, a, b }) => ({ labels, value: typeof left === 'number' ? b : a }));
  return pairs.map(({ labels, a, b }) => ({ labels, value: compute?.(a, b) ?? Number.NaN }));
}

function pairsOf(
  left: Value,
  right: Value,
  on: readonly string[] | undefined,
): readonly { labels: Labels; a: number; b: number }[] {
  if (typeof left === 'number') return vectorOf(right).map(({ labels, value }) => ({ labels, a: left, b: value }));
  if (typeof right === 'number') return left.map(({ labels, value }) => ({ labels, a: value, b: right }));
  const idOf = (labels: Labels): string => identify(on === undefined ? labels : pick(labels, on));
  return left.flatMap(({ labels, value }) => {
    const other = right.find((each) => idOf(each.labels) === idOf(labels));
    return other === undefined ? [] : [{ labels, a: value, b: other.value }];
  });
}

function pick(labels: Labels, names: readonly string[]): Labels {
  return Object.fromEntries(names.flatMap((name) => (labels[name] === undefined ? [] : [[name, labels[name]]])));
}

/** The same for the same labels, in whatever order. */
export function identify(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
