import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { highest, lowest, shareCores, type Ceiling } from '../../dev/bench/ceiling.js';
import { paceOf } from '../../dev/bench/paced-writer.js';
import { topSelfTime, type CpuProfile } from '../../dev/bench/profile.js';
import { coreSeconds, readStat, spentBetween } from '../../dev/bench/usage.js';
import { percentile } from '../../dev/demo/percentile.js';

describe('a percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  test.each([
    [0.5, 50],
    [0.9, 90],
    [0.99, 99],
    [1, 100],
    [0, 1],
  ])('%s of 1 to 100 is %s', (share, value) => {
    expect(percentile(hundred, share)).toBe(value);
  });

  test('of an even number is one of them, and of none is none', () => {
    expect(percentile([4, 1, 3, 2], 0.5)).toBe(2);
    expect(percentile([], 0.5)).toBeUndefined();
  });

  test('puts a row that never came last', () => {
    expect(percentile([1, Infinity, 2], 1)).toBe(Infinity);
  });
});

describe('the work of a process', () => {
  const stat = '42 (post) gres: (x) S 7 42 42 0 -1 4194304 9 9 0 0 100 50 25 5 20 0 1 0 12345 0 0';

  test('is its own and that of children that ended, whatever its name holds', () => {
    expect(readStat(stat)).toEqual({ parent: 7, ticks: 180 });
  });

  test('counts what its living children do, where the system tells', () => {
    const before = coreSeconds({ tree: process.ppid, own: process.pid });
    const until = process.cpuUsage().user + 200_000;
    while (process.cpuUsage().user < until);
    const spent = spentBetween(before, coreSeconds({ tree: process.ppid, own: process.pid }));
    expect(spent['own']).toBeGreaterThan(existsSync('/proc') ? 0.1 : -1);
    expect(spent['tree']).toBeGreaterThanOrEqual(spent['own'] ?? 0);
  });

  test('is nothing for a process that is not there', () => {
    expect(coreSeconds({ nobody: undefined, gone: 2 ** 30 })).toEqual({ nobody: 0, gone: 0 });
  });
});

describe('ceilings', () => {
  const ceiling = (name: string, rowsPerSecond: number, spent: Record<string, number>): Ceiling => ({
    name,
    rowsPerSecond,
    coreSeconds: spent,
  });
  const links = [ceiling('drain', 100, { client: 1, postgres: 2 }), ceiling('produce', 60, { client: 3, kafka: 2 })];

  test('of a chain is that of its slowest link, and of two ways that of the faster', () => {
    expect(lowest(links)?.name).toBe('produce');
    expect(highest(links)?.name).toBe('drain');
    expect(lowest([])).toBeUndefined();
  });

  test('of links at the same time is what the cores can do of all their work', () => {
    // 8 core-seconds of work for 400 rows on 2 cores: 4 seconds.
    expect(shareCores('all', links, 400, 2)).toEqual({
      name: 'all',
      rowsPerSecond: 100,
      coreSeconds: { client: 4, postgres: 2, kafka: 2 },
    });
  });
});

describe('the pace of the writer', () => {
  test('is single rows at a low rate, and never above 200 commits a second', () => {
    expect(paceOf(50)).toEqual({ rowsPerSecond: 50, rowsPerCommit: 1, connections: 1 });
    expect(paceOf(1_000)).toMatchObject({ rowsPerCommit: 5, connections: 4 });
    expect(paceOf(5_000)).toMatchObject({ rowsPerCommit: 25, connections: 4 });
  });
});

describe('a CPU profile', () => {
  const node = (id: number, functionName: string, url = '', lineNumber = 0): CpuProfile['nodes'][number] => ({
    id,
    callFrame: { functionName, url, lineNumber },
  });
  const profile: CpuProfile = {
    nodes: [
      node(1, '(idle)'),
      node(2, 'encode', 'file:///srv/app/node_modules/kafkajs/src/encoder.js', 70),
      node(3, 'feed', 'file:///srv/app/dist/src/source/drain-lines.js', 9),
      // The same function, called from elsewhere.
      node(4, 'encode', 'file:///srv/app/node_modules/kafkajs/src/encoder.js', 70),
      node(5, '', 'node:internal/stream', 0),
    ],
    startTime: 1_000,
    samples: [2, 1, 3, 4, 5],
    timeDeltas: [0, 100, 100, 300, 200],
  };

  test('adds up the time of each function, without that in which nothing ran', () => {
    expect(topSelfTime(profile, 10)).toEqual([
      { name: 'encode (kafkajs/src/encoder.js:71)', milliseconds: 0.3, share: 0.5 },
      { name: 'feed (src/source/drain-lines.js:10)', milliseconds: 0.3, share: 0.5 },
      { name: '(anonymous) (node:internal/stream:1)', milliseconds: 0, share: 0 },
    ]);
  });

  test('can be cut to the part that was timed, and to the first few', () => {
    // Sample 3 begins at 1,200 and sample 4 at 1,500.
    expect(topSelfTime(profile, 1, { from: 1_150, to: 1_500 })).toEqual([
      { name: 'feed (src/source/drain-lines.js:10)', milliseconds: 0.3, share: 1 },
    ]);
  });
});
