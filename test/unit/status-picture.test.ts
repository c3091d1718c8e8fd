import { taskQueuesOf } from '../../src/domain/deployment.js';
import { stripVTControlCharacters } from 'node:util';
import { expect, it } from 'vitest';
import { drawPipeline, drawTable } from '../../src/cli/status-picture.js';
import type { PipelineView, TableView } from '../../src/control/table-view.js';

const ORDERS: TableView = {
  table: 'public.orders',
  workflowId: 'replicate/default/public.orders',
  phase: 'streaming',
  answering: true,
  running: ['publish', 'load:main'],
  doing: null,
  target: 'default.orders',
  topic: 'default.public.orders',
  format: 'json',
  key: ['id'],
  estimatedRows: 200_000,
  copiedRows: 200_000,
  copied: true,
  publishedRows: 5_000,
  loadedRows: 4_000,
  waiting: { publish: 12, load: 1_000 },
  lagSeconds: 0.42,
  paused: null,
  failure: null,
  url: null,
};

function view(tables: readonly TableView[], workers = 1, at = '2026-11-22T10:00:00.000Z'): PipelineView {
  return {
    pipeline: 'default',
    deployment: 'ab12cd34',
    at,
    workers: { workflow: workers, producer: workers, consumer: workers, queues: taskQueuesOf('ab12cd34') },
    tables,
  };
}

function drawn(...args: Parameters<typeof drawPipeline>): string[] {
  return stripVTControlCharacters(drawPipeline(...args)).split('\n');
}

it('a healthy table is one line, numbers to the right, and nothing else', () => {
  expect(drawn(view([ORDERS]))).toEqual([
    'pg2click  pipeline default, deployment ab12cd34, 1 table',
    '',
    '  table          phase         copied  changes  waiting    lag  target',
    '  public.orders  ● streaming  200,000    4,000    1,012  0.4 s  default.orders',
  ]);
});

it('between two looks the rate of changes is shown', () => {
  const before = view([{ ...ORDERS, loadedRows: 1_000 }], 1, '2026-11-22T09:59:58.000Z');
  expect(drawn(view([ORDERS]), before).at(-1)).toContain('4,000, 1,500/s');
});

it('a first load shows how far it is of an estimate that may be wrong', () => {
  const copying = { ...ORDERS, phase: 'copying', copied: false } as const;
  expect(drawn(view([{ ...copying, copiedRows: 104_000 }])).at(-1)).toContain('104,000 of about 200,000 (52%)');
  expect(drawn(view([{ ...copying, copiedRows: 300_000 }])).at(-1)).toContain('300,000 of about 200,000 (99%)');
  expect(drawn(view([{ ...copying, copiedRows: 5, estimatedRows: null }])).at(-1)).toMatch(/ 5 +4,000 /u);
});

it('trouble stands below its table: what, since when, and what to do', () => {
  const failure = {
    task: 'load:main',
    kind: 'RowRefused',
    message: 'ClickHouse refused a row.',
    remedy: 'Correct it.',
    since: '2026-11-22T09:00:00Z',
    retrying: false,
    attempt: null,
  } as const;
  expect(drawn(view([{ ...ORDERS, phase: 'parked', failure }])).slice(-2)).toEqual([
    '      load:main is parked (RowRefused, since 2026-11-22T09:00:00Z): ClickHouse refused a row.',
    '      → Correct it.',
  ]);
  const retried = drawn(view([{ ...ORDERS, failure: { ...failure, retrying: true, attempt: 7 } }]));
  expect(retried[3]).toContain('◌ retrying');
  expect(retried.at(-2)).toContain('load:main is being retried (attempt 7, RowRefused): ClickHouse refused a row.');
});

it('says when nobody works, when nobody answers, and when there is nothing', () => {
  expect(drawn(view([ORDERS], 0)).at(-1)).toContain(
    'No worker polls pg2click/ab12cd34, pg2click/ab12cd34/producer, pg2click/ab12cd34/consumer',
  );
  expect(drawn(view([{ ...ORDERS, answering: false }])).at(-1)).toContain('No worker answered in time');
  expect(drawn(view([])).at(-1)).toContain('pg2click add TABLE');
  expect(drawn(view([{ ...ORDERS, phase: 'stopped' }])).at(-1)).toContain('its workflow does not run');
});

it('one table in detail tells what it is made of', () => {
  const paused = { since: '2026-11-22T09:00:00Z', reason: 'lunch' };
  const table = { ...ORDERS, phase: 'paused', running: [], lagSeconds: null, paused } as const;
  expect(stripVTControlCharacters(drawTable(table, view([table]))).split('\n')).toEqual([
    'public.orders  Ⅱ paused',
    '  target      default.orders',
    '  topic       default.public.orders (json)',
    '  key         id',
    '  first load  done, 200,000 rows',
    '  changes     5,000 published, 4,000 loaded',
    '  waiting     12 in the outbox, 1,000 in Kafka',
    '  paused      since 2026-11-22T09:00:00Z: lunch',
    '  Temporal    replicate/default/public.orders',
  ]);
});
