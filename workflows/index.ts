/** Every function exported here is a workflow type: no more, no less than that. */
export { replicateTable } from './replicate-table.js';
