// Apart from the messages: a process that only calls a workflow need not load the SDK's part for running one.

/** Workflow type; the id of a table's workflow is `workflowIdOf(pipeline, name)`. */
export const REPLICATE_TABLE = 'replicateTable';
/** The query that answers a `TableStatus`. */
export const STATUS_QUERY = 'status';
