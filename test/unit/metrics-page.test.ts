import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { METRICS, type Metric } from '../../src/observe/metrics.js';
import { renderMetricsPage } from '../../src/observe/metrics-page.js';
import { packageRoot } from '../../src/package-root.js';

const PAGE = join(packageRoot, 'docs', '10-metrics.md');

// To write the page anew after a change of the table: npx vitest run metrics-page --update
it('the page of metrics says what the table of metrics says', async () => {
  const page = await format(renderMetricsPage(), { ...(await resolveConfig(PAGE)), parser: 'markdown' });
  await expect(page).toMatchFileSnapshot(PAGE);
});

it.each(Object.entries<Metric>(METRICS))('%s is named as Prometheus wants it', (name, { kind, unit, buckets }) => {
  expect(name.endsWith('_total')).toBe(kind === 'counter');
  if (unit === 'seconds' || unit === 'bytes')
    expect(name.replace(/_total$/u, '')).toMatch(new RegExp(`_${unit}$`, 'u'));
  expect(buckets !== undefined).toBe(kind === 'histogram');
});
