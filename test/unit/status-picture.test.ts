import { taskQueuesOf } from '../../src/domain/deployment.js';
import { stripVTControlCharacters } from 'node:util';
import { expect, it } from 'vitest';
import { drawPipeline, drawTable } from '../../src/cli/status-picture.js';
import type { PipelineView, StageView, TableView } from '../../src/control/table-view.js';

const MOVING = { errors: null, lagSeconds: 0.42, lastBatchAt: '2026-11-22T10:00:00.000Z', running: true } as const;
const COPY: StageView = {
  ...MOVING,
  id: 'copy',
  queue: 'producer',
  rows: 200_000,
  waiting: null,
  waitingIn: null,
  running: false,
};
const PUBLISH: StageView = {
  ...MOVING,
  id: 'publish',
  queue: 'producer',
  rows: 5_000,
  waiting: 12,
  waitingIn: 'the outbox',
};
const LOAD: StageView = {
  ...MOVING,
  id: 'load:main',
  queue: 'consumer',
  rows: 4_000,
  waiting: 1_000,
  waitingIn: 'Kafka',
  lagSeconds: 31,
};

const ORDERS: TableView = {
  table: 'public.orders',
  renamedTo: null,
  workflowId: 'replicate/default/public.orders',
  phase: 'streaming',
  answering: true,
  running: ['publish', 'load:main'],
  doing: null,
  target: 'default.orders',
  way: 'outbox, kafka (json, row), worker, replacing',
  topic: 'default.public.orders',
  format: 'json',
  key: ['id'],
  columns: null,
  where: null,
  stored: null,
  estimatedRows: 200_000,
  copiedRows: 200_000,
  copy: null,
  priority: null,
  kept: [],
  backfills: [],
  copied: true,
  schemaChange: null,
  loaders: [],
  replays: [],
  stages: [COPY, PUBLISH, LOAD],
  slot: null,
  quarantined: 0,
  loadedRows: 4_000,
  waiting: 1_012,
  lagSeconds: 31,
  paused: null,
  failure: null,
  change: null,
  refused: null,
  ignored: null,
  url: null,
};

function view(tables: readonly TableView[], workers = 1, at = '2026-11-22T10:00:00.000Z'): PipelineView {
  return {
    pipeline: 'default',
    deployment: 'ab12cd34',
    at,
    workers: { workflow: workers, producer: workers, consumer: workers, queues: taskQueuesOf('ab12cd34') },
    outage: null,
    tables,
  };
}

function drawn(...args: Parameters<typeof drawPipeline>): string[] {
  return stripVTControlCharacters(drawPipeline(...args)).split('\n');
}

function drawnTable(table: TableView, before?: PipelineView): string[] {
  return stripVTControlCharacters(drawTable(table, view([table]), before)).split('\n');
}

it('messages that were set aside are said, with where they lie', () => {
  const errors = { messages: 2, table: 'default.orders_errors' };
  const table = { ...ORDERS, stages: [COPY, PUBLISH, { ...LOAD, errors }] };
  const said = [
    '    load:main could not load 2 messages: kept in default.orders_errors',
    '    → in ClickHouse: select topic, partition, offset, error from default.orders_errors final order by time',
  ];
  expect(drawn(view([table])).slice(4)).toEqual(said.map((line) => `  ${line}`));
  expect(drawnTable(table).slice(-2)).toEqual(said);
});

it('a healthy table is one line, numbers to the right, and nothing else', () => {
  expect(drawn(view([ORDERS]))).toEqual([
    'pg2click  pipeline default, deployment ab12cd34, 1 table, at 10:00:00 UTC',
    '',
    '  table          phase         copied  changes  waiting   lag  target',
    '  public.orders  ● streaming  200,000    4,000    1,012  31 s  default.orders',
  ]);
});

const SLOT = {
  name: 'pg2click_ab12cd34',
  retainedBytes: 0,
  safeBytes: null,
  unreadSeconds: null,
  failover: true,
  outboxBytes: 0,
  budgetBytes: null,
  detached: null,
};

it.each([
  [{ retainedBytes: 2_345_678 }, 'for which PostgreSQL keeps 2.3 MB of WAL, without a limit (max_slot_wal_keep_size)'],
  [
    { retainedBytes: 12_000_000_000, safeBytes: 40_000_000 },
    'for which PostgreSQL keeps 12,000 MB of WAL, given up by PostgreSQL after 40 MB more',
  ],
  [
    { retainedBytes: 6_000_000_000, safeBytes: 3_600_000_000, unreadSeconds: 6_000 },
    'for which PostgreSQL keeps 6,000 MB of WAL, 1.0 MB more each second, given up by PostgreSQL after 3,600 MB more, in about 60 min; nobody has read it for 100 min',
  ],
  [
    { retainedBytes: 2_000_000, unreadSeconds: 2 },
    'for which PostgreSQL keeps 2.0 MB of WAL, without a limit (max_slot_wal_keep_size); nobody has read it for 2.0 s',
  ],
  [
    { retainedBytes: 2_000_000, failover: false },
    'for which PostgreSQL keeps 2.0 MB of WAL, without a limit (max_slot_wal_keep_size); no standby gets it (failover is off)',
  ],
  [
    { retainedBytes: 2_000_000, outboxBytes: 700_000_000, budgetBytes: 1_000_000_000 },
    'for which PostgreSQL keeps 2.0 MB of WAL, without a limit (max_slot_wal_keep_size); 702 MB with outboxes, of a budget of 1,000 MB',
  ],
  [{ retainedBytes: null }, 'which is gone, or has lost WAL that it needs'],
])('a replication slot is named, with what it costs: %#', (state, text) => {
  const line = drawnTable({ ...ORDERS, slot: { ...SLOT, ...state } }).find((each) => each.includes('slot'));
  expect(line?.trim().replace(/ +/gu, ' ')).toBe(`slot pg2click_ab12cd34, ${text}`);
});

it('a table that was detached says so, also where it is paused or parked for something else', () => {
  const why = 'its outbox of 1,200 MB was the largest';
  const detached = { position: '0/1', at: '2026-11-22T09:00:00Z', why, remedy: 'Run pg2click remove public.orders.' };
  const table = { ...ORDERS, slot: { ...SLOT, detached } };
  expect(drawn(view([table])).slice(4)).toEqual([
    `      detached from the WAL since 2026-11-22T09:00:00Z: ${why}`,
    '      → Run pg2click remove public.orders.',
  ]);
  expect(drawnTable(table).find((each) => each.includes('slot'))).toContain('this table is detached since');
});

it('between two looks the growth of the WAL that a slot keeps is shown, and what is left of its limit', () => {
  const at = (retainedBytes: number) => ({ ...ORDERS, slot: { ...SLOT, retainedBytes, safeBytes: 600_000_000 } });
  const before = view([at(1_000_000)], 1, '2026-11-22T09:59:58.000Z');
  const line = drawnTable(at(21_000_000), before).find((each) => each.includes('slot'));
  expect(line).toContain('10 MB more each second, given up by PostgreSQL after 600 MB more, in about 60 s');
});

it('a table that was renamed in PostgreSQL has both names', () => {
  const renamed = { ...ORDERS, renamedTo: 'sales."Orders 2"' };
  expect(drawn(view([renamed]))[3]).toMatch(/^ {2}public\.orders \(now sales\."Orders 2" in PostgreSQL\) {2}/u);
  expect(drawnTable(renamed)[0]).toMatch(/^public\.orders \(now sales\."Orders 2" in PostgreSQL\) {2}/u);
});

it('between two looks the rate of changes is shown', () => {
  const before = view([{ ...ORDERS, loadedRows: 1_000 }], 1, '2026-11-22T09:59:58.000Z');
  expect(drawn(view([ORDERS]), { before }).at(-1)).toContain('4,000, 1,500/s');
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
    worker: null,
  } as const;
  expect(drawn(view([{ ...ORDERS, phase: 'parked', failure }])).slice(-2)).toEqual([
    '      load:main is parked (RowRefused, since 2026-11-22T09:00:00Z): ClickHouse refused a row.',
    '      → Correct it.',
  ]);
  const met = drawn(view([{ ...ORDERS, phase: 'parked', failure: { ...failure, worker: 'host/7/all/1a2b' } }]));
  expect(met.at(-2)).toContain('(RowRefused, since 2026-11-22T09:00:00Z, by worker host/7/all/1a2b)');
  const retried = drawn(view([{ ...ORDERS, failure: { ...failure, retrying: true, attempt: 7 } }]));
  expect(retried[3]).toContain('◌ retrying');
  expect(retried.at(-2)).toContain('load:main is being retried (attempt 7, RowRefused): ClickHouse refused a row.');
});

it('says when nobody works, when nobody answers, and when there is nothing', () => {
  expect(drawn(view([ORDERS], 0)).at(-1)).toContain('No worker polls pg2click/ab12cd34, pg2click/ab12cd34/producer, ');
  expect(drawn(view([{ ...ORDERS, answering: false }])).at(-1)).toContain('No worker answered in time');
  expect(drawn(view([])).at(-1)).toContain('pg2click add TABLE');
  expect(drawn(view([{ ...ORDERS, phase: 'stopped' }])).at(-1)).toContain('its workflow does not run');
});

it('one table in detail tells what it is made of', () => {
  const paused = { since: '2026-11-22T09:00:00Z', reason: 'lunch' };
  const ignored = { at: '2026-11-22T09:00:01Z', name: 'pauze', problem: 'There is no such signal.' };
  const table = { ...ORDERS, phase: 'paused', running: [], paused, ignored } as const;
  expect(stripVTControlCharacters(drawTable(table, view([table]))).split('\n')).toEqual([
    'public.orders  Ⅱ paused  at 10:00:00 UTC',
    '  target      default.orders',
    '  way         outbox, kafka (json, row), worker, replacing',
    '  topic       default.public.orders (json)',
    '  key         id',
    '  first load  done, 200,000 rows',
    '  publish     5,000 changes, 12 wait in the outbox for 0.4 s',
    '  load:main   4,000 changes, 1,000 wait in Kafka for 31 s',
    '  lag         31 s',
    '  paused      since 2026-11-22T09:00:00Z: lunch',
    '  ignored     signal pauze of 2026-11-22T09:00:01Z: There is no such signal.',
    '  Temporal    replicate/default/public.orders',
  ]);
});

it('rows that a retry sent twice are named, where the reader counts more than were published', () => {
  const load = { ...LOAD, rows: 5_001, waiting: 0, lagSeconds: 0 };
  const table = { ...ORDERS, stages: [COPY, PUBLISH, load] };
  expect(drawnTable(table)).toContain(
    '  load:main   5,001 changes (1 of them sent twice, by a retry), 0 wait in Kafka',
  );
  // The Kafka engine counts messages of others too.
  const engine = { ...load, errors: { messages: 1, table: 'default.orders_errors' } };
  expect(drawnTable({ ...ORDERS, stages: [COPY, PUBLISH, engine] })).toContain(
    '  load:main   5,001 changes, 0 wait in Kafka',
  );
});

it('what is not known is said to be so, and is no zero', () => {
  const publish = { ...PUBLISH, waiting: null, lagSeconds: null };
  const table = { ...ORDERS, stages: [publish], waiting: null, lagSeconds: null };
  expect(drawnTable(table)).toEqual(
    expect.arrayContaining(['  publish   5,000 changes, what waits in the outbox is not known', '  lag       -']),
  );
  expect(drawn(view([table])).at(-1)).toMatch(/ - +- +default\.orders$/u);
});

it('a table that nobody works on is not shown as if it streamed', () => {
  expect(drawn(view([{ ...ORDERS, answering: false }], 0))[3]).toContain('◌ streaming?');
  const producersOnly = { ...view([ORDERS]), workers: { ...view([ORDERS]).workers, consumer: 0 } };
  expect(drawn(producersOnly)[3]).toContain('◌ streaming?');
});

it('a table that goes directly needs no consumer', () => {
  const direct: TableView = { ...ORDERS, topic: null, stages: [COPY, { ...PUBLISH, id: 'direct:main' }] };
  const producersOnly = { ...view([direct]).workers, consumer: 0 };
  expect(drawn({ ...view([direct]), workers: producersOnly })).toEqual(drawn(view([direct])));
  const both = drawn({ ...view([direct, ORDERS]), workers: producersOnly });
  expect(both[3]).toContain('◌ streaming?');
  expect(both[4]).toContain('● streaming');
  expect(both.at(-1)).toContain('No worker polls pg2click/ab12cd34/consumer');
});

it('a park of which only the kind is known names the table, not nothing', () => {
  const failure = {
    task: null,
    kind: 'MissingTable',
    message: 'm',
    remedy: 'r',
    since: null,
    retrying: false,
    attempt: null,
    worker: null,
  } as const;
  const lines = drawn(view([{ ...ORDERS, phase: 'parked', answering: false, failure }], 0));
  expect(lines[4]).toBe('      the table is parked (MissingTable): m');
});

it('a change that waits for resume, and one that was refused, stand below their table', () => {
  const change = {
    what: 'backfill, from 1 to 10',
    since: '2026-11-22T09:00:00Z',
    waits: true,
    withdrawal: 'pg2click backfill public.orders --cancel',
  };
  expect(drawn(view([{ ...ORDERS, phase: 'paused', running: [], change }])).slice(-2)).toEqual([
    '      backfill, from 1 to 10 waits since 2026-11-22T09:00:00Z: the table is paused',
    '      → pg2click resume public.orders, or withdraw it: pg2click backfill public.orders --cancel',
  ]);
  expect(drawnTable({ ...ORDERS, change: { ...change, waits: false } })).toContainEqual(
    expect.stringMatching(/^ {2}change +backfill, from 1 to 10, since 2026/u),
  );
  const refused = {
    what: 'backfill, from 10 to 20',
    at: '2026-11-22T09:00:00Z',
    kind: 'Misconfigured',
    message: 'A key is an array.',
    remedy: 'Give one.',
  } as const;
  expect(drawn(view([{ ...ORDERS, refused }])).slice(-2)).toEqual([
    '      backfill, from 10 to 20: refused (Misconfigured) at 2026-11-22T09:00:00Z: A key is an array.',
    '      → Give one.',
  ]);
});

it('what a table waits for while it is prepared is said, before it is a failure', () => {
  const table = { ...ORDERS, phase: 'preparing', doing: 'waiting: public.orders is held by process 24619' } as const;
  expect(drawnTable(table)).toContainEqual(expect.stringMatching(/^ {2}doing +waiting: public\.orders is held by/u));
  expect(drawn(view([table])).at(-1)).toBe('      waiting: public.orders is held by process 24619');
});

it('tables in trouble come first: those that stand still, then those that are retried, then by name', () => {
  const retried = {
    task: 'publish',
    kind: 'SourceUnavailable',
    message: 'm',
    remedy: 'r',
    since: null,
    worker: null,
  } as const;
  const detached = { position: '0/1', at: '2026-11-22T09:00:00Z', why: 'w', remedy: 'r' };
  const tables = [
    { ...ORDERS, table: 'public.a' },
    { ...ORDERS, table: 'public.b', failure: { ...retried, retrying: true, attempt: 2 } },
    { ...ORDERS, table: 'public.c', phase: 'stopped' as const },
    { ...ORDERS, table: 'public.d', phase: 'paused' as const },
    { ...ORDERS, table: 'public.e', phase: 'paused' as const, slot: { ...SLOT, detached } },
  ];
  const named = drawn(view(tables)).flatMap((line) => /^ {2}(public\.\w)/u.exec(line)?.[1] ?? []);
  expect(named).toEqual(['public.c', 'public.e', 'public.b', 'public.a', 'public.d']);
});

it('of tables that are left out, the number is said', () => {
  expect(drawn(view([ORDERS]), { all: 12 })[0]).toMatch(/, 1 of 12 tables, at 10:00:00 UTC$/u);
  expect(drawn(view([]), { all: 12 })).toContain('  No table is as you asked.');
});

it('without Temporal the figures of the ledger are shown, and what is not known', () => {
  const outage = { kind: 'TemporalUnavailable', message: 'Temporal did not answer.', remedy: 'Start it.' } as const;
  const lines = drawn({ ...view([{ ...ORDERS, phase: 'unknown', answering: false }], 0), outage });
  expect(lines.slice(3)).toEqual([
    '  public.orders  ? unknown  200,000    4,000    1,012  31 s  default.orders',
    '',
    '  Phases and workers are not known, and figures are those of the ledger: Temporal did not answer.',
    '  → Start it.',
  ]);
});
