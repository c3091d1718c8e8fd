import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/longest-first.js';

/** Tests of one computer's arithmetic need no server; the others share one stack, started once for the whole run. */
const SERVER_TESTS = ['test/**/*.{pg,kafka,ch,temporal,stack}.test.ts', 'test/{integration,end-to-end}/**/*.test.ts'];

/** They start and kill stacks of their own: 1.5 GB each while they run. */
const STACK_TESTS = ['test/integration/stack.*.test.ts', 'test/end-to-end/outages.test.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    // Two cores. A long file keeps 0.1 to 0.4 of one busy, without the servers: it waits for missed heartbeats and back-offs.
    maxWorkers: 4,
    // To make a replication slot PostgreSQL waits for all who write, those of other files too.
    testTimeout: 240_000,
    hookTimeout: 180_000,
    // The stack is stopped in order: Kafka and PostgreSQL take their time to close.
    teardownTimeout: 60_000,
    reporters: ['./test/support/reporter.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: [...SERVER_TESTS, ...STACK_TESTS],
          // They compute: two of them fill two cores.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: SERVER_TESTS,
          exclude: STACK_TESTS,
          globalSetup: ['./test/support/global-setup.ts'],
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { name: 'stack', include: STACK_TESTS, testTimeout: 240_000, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
