import { basename } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files of three quarters of a minute and more, longest first. */
const LONGEST = [
  'deployments.temporal',
  'frozen-workers',
  'cli-refusals.temporal',
  'cli-life.temporal',
  'poll-out-of-order',
  'parked',
  'cuts',
  'kill-loop',
  'poll',
  'worker-start.temporal',
  'take-over',
  'outages',
  'changing-course-live',
  'stack.secure',
  'append-kill',
  'several-loaders',
  'changing-course',
  'lost-history',
  'changing-course-loaders',
  'stack.bench',
  'kafka-engine',
  'direct-outbox',
  'cli-ledger.temporal',
  'lost-commits',
  'stack.kafka-engine',
  'replicate-table.temporal',
  'ledger-elsewhere',
  'append',
  'payload-key',
  'cli-configure.temporal',
  'stack.health',
  'stack.publishing',
];

/**
 * A long file that begins last keeps the others waiting: these begin first. Vitest knows how long files took only where it has
 * run before, and a clean checkout has not.
 */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((one, other) => groupOf(one) - groupOf(other) || rank(one) - rank(other));
  }
}

function groupOf({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder;
}

function rank({ moduleId }: TestSpecification): number {
  const place = LONGEST.indexOf(basename(moduleId, '.test.ts'));
  return place === -1 ? LONGEST.length : place;
}
