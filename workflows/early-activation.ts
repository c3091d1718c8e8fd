import type { WorkflowInterceptors } from '@temporalio/workflow';
import { EARLY_QUERY } from '../src/domain/early-query.js';

/*
 * A query that no worker was there to answer comes with all that the history has by then, also with what no workflow task has told
 * yet: that an activity has ended, say. The core of the SDK (1.24) has the workflow act on it at once, at the time of the task
 * before. The task itself finds nothing left to tell, and what the workflow then commands is not what a replay of the history
 * commands: other commands, or the same in another order. The worker that has the workflow in memory goes on, and no other one
 * ever can: the table stands still when it ends. So the early telling is refused. The query fails, the workflow is
 * forgotten by this worker, and the task replays it from its history.
 */

type Activation = Parameters<
  NonNullable<NonNullable<WorkflowInterceptors['internals']>[number]['activate']>
>[0]['activation'];
type Job = NonNullable<Activation['jobs']>[number];

/** Of the task that an activation belongs to. The history has grown by at least one event since the task before. */
interface TaskMark {
  readonly time: string;
  readonly historyBytes: string;
}

/** Of one run of a workflow. */
export function interceptors(): WorkflowInterceptors {
  let before: TaskMark | undefined;
  return {
    internals: [
      {
        activate(input, next) {
          const { activation, batchIndex } = input;
          const mark = markOf(activation);
          if (batchIndex === 0 && isEarly(activation.jobs ?? [], mark, before)) throw new Error(EARLY_QUERY);
          before = mark;
          next(input);
        },
      },
    ],
  };
}

function markOf({ timestamp, historySizeBytes }: Activation): TaskMark {
  return {
    time: `${String(timestamp?.seconds)}.${timestamp?.nanos}`,
    historyBytes: String(historySizeBytes ?? 0),
  };
}

/** Servers before 1.20 do not say how long a history is: there nothing is early. */
function isEarly(jobs: readonly Job[], mark: TaskMark, before: TaskMark | undefined): boolean {
  if (before === undefined || mark.historyBytes === '0') return false;
  return mark.time === before.time && mark.historyBytes === before.historyBytes && jobs.some(isFromHistory);
}

/** What only an event can tell. An activity that the workflow cancels is resolved within the same task. */
function isFromHistory({ resolveActivity, fireTimer, signalWorkflow, cancelWorkflow }: Job): boolean {
  const { completed, failed } = resolveActivity?.result ?? {};
  return [completed, failed, fireTimer, signalWorkflow, cancelWorkflow].some(
    (each) => each !== undefined && each !== null,
  );
}
