/**
 * One source database with one pipeline. Its id keeps its task queues, messages, targets and requests apart from those of other
 * deployments that use the same Temporal namespace, Kafka or ClickHouse.
 */
export interface Deployment {
  /** 8 hexadecimal digits: a hash of system identifier, database and pipeline. */
  readonly id: string;
  readonly pipeline: string;
  /** Name of the source database, for sentences. */
  readonly database: string;
}

/** The task queues of a worker. Every role polls for workflows; `producer` reads PostgreSQL, `consumer` reads Kafka. */
export interface TaskQueues {
  readonly workflow: string;
  readonly producer: string;
  readonly consumer: string;
}

const PREFIX = 'pg2click';
/** Of workflows, before deployments had an identity. No worker polls it any more. */
export const WORKFLOW_QUEUE_BEFORE = PREFIX;

export function taskQueuesOf(deployment: string): TaskQueues {
  return activityQueuesOf(`${PREFIX}/${deployment}`);
}

/** The queues of a workflow's activities, from the name of its own queue: who starts a workflow by hand gives one name only. */
export function activityQueuesOf(workflowQueue: string): TaskQueues {
  const separator = workflowQueue === WORKFLOW_QUEUE_BEFORE ? '-' : '/';
  return {
    workflow: workflowQueue,
    producer: `${workflowQueue}${separator}producer`,
    consumer: `${workflowQueue}${separator}consumer`,
  };
}

/** The deployment that a workflow's task queue belongs to; undefined for queues with names of their own. */
export function deploymentOf(workflowQueue: string): string | undefined {
  return /^pg2click\/([0-9a-f]{8})$/u.exec(workflowQueue)?.[1];
}

/** `ab12cd34 (database shop, pipeline default)` */
export function describeDeployment({ id, database, pipeline }: Deployment): string {
  return `${id} (database ${database}, pipeline ${pipeline})`;
}
