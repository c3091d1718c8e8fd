import { DefaultReporter } from 'vitest/node';
import type { SerializedError } from 'vitest';
import type { TestModule, TestRunEndReason } from 'vitest/node';

/**
 * Vitest's own report, then one last line that a script can read: `N passed, N failed` or `N passed, N failed, N skipped`.
 * A file, a suite hook or a stray rejection that failed counts as one failed. A run in which no test ran has failed.
 */
export default class SummaryLine extends DefaultReporter {
  override onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    super.onTestRunEnd(modules, unhandled, reason);
    const count = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++;
      if (module.errors().length > 0) count.failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) count.failed++;
    }
    // Tests that were left behind by an interrupt or a dead worker did not pass.
    const failed = count.failed + count.pending;
    if (failed > 0 || count.passed === 0) process.exitCode = 1;
    console.log(`${count.passed} passed, ${failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ''}`);
  }
}
