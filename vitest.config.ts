import { defineConfig } from 'vitest/config';

/** Tests of one computer's arithmetic need no server; the others share one stack, started once for the whole run. */
const SERVER_TESTS = ['test/**/*.{pg,kafka,ch,temporal,stack}.test.ts', 'test/{integration,end-to-end}/**/*.test.ts'];

/** They start and kill stacks of their own. */
const STACK_TESTS = ['test/integration/stack.*.test.ts', 'test/end-to-end/outages.test.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    // Two cores: more workers only make deadlines tighter.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // The stack is stopped in order: Kafka and PostgreSQL take their time to close.
    teardownTimeout: 60_000,
    reporters: ['./test/support/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: [...SERVER_TESTS, ...STACK_TESTS],
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
        test: { name: 'stack', include: STACK_TESTS, testTimeout: 240_000, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
  },
});
