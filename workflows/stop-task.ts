import type { StageId } from '../src/domain/route.js';

/** The task that ends what goes on without the slices of a stage. */
export function stopTask(stage: StageId): StageId {
  return `stop:${stage}`;
}

/** @returns undefined for a task that stops nothing */
export function stageStoppedBy(task: StageId): StageId | undefined {
  return task.startsWith('stop:') ? task.slice('stop:'.length) : undefined;
}
