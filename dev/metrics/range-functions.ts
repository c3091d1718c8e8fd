type Points = readonly { readonly at: number; readonly value: number }[];

interface Window {
  readonly from: number;
  readonly to: number;
}

type RangeFunction = (points: Points, window: Window, argument: number) => number | undefined;

/** Functions of what a series said within a window; undefined where it said too little. */
export const rangeFunctions: Readonly<Record<string, RangeFunction>> = {
  rate: (points, window) => {
    const increase = extrapolated(points, window, true);
    return increase === undefined ? undefined : increase / (window.to - window.from);
  },
  increase: (points, window) => extrapolated(points, window, true),
  delta: (points, window) => extrapolated(points, window, false),
  predict_linear: (points, { to }, seconds) => predict(points, to, seconds),
};

/** The difference of the ends, stretched to the window as far as Prometheus stretches it. A counter that falls began again at 0. */
function extrapolated(points: Points, { from, to }: Window, isCounter: boolean): number | undefined {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || points.length < 2) return undefined;
  let result = last.value - first.value;
  if (isCounter)
    points.forEach(({ value }, index) => {
      const before = points[index - 1]?.value ?? 0;
      if (value < before) result += before;
    });
  const sampled = last.at - first.at;
  const between = sampled / (points.length - 1);
  const threshold = between * 1.1;
  let toStart = first.at - from;
  if (toStart >= threshold) toStart = between / 2;
  if (isCounter && result > 0 && first.value >= 0) toStart = Math.min(toStart, sampled * (first.value / result));
  let toEnd = to - last.at;
  if (toEnd >= threshold) toEnd = between / 2;
  return result * ((sampled + toStart + toEnd) / sampled);
}

/** By least squares. */
function predict(points: Points, to: number, seconds: number): number | undefined {
  if (points.length < 2) return undefined;
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = points.map(({ at }) => at - to);
  const y = points.map(({ value }) => value);
  const [meanX, meanY] = [mean(x), mean(y)];
  const covariance = mean(x.map((each, index) => (each - meanX) * ((y[index] ?? 0) - meanY)));
  const variance = mean(x.map((each) => (each - meanX) ** 2));
  const slope = covariance / variance;
  return meanY - slope * meanX + slope * seconds;
}
