import type { ReplicationActivities } from '../src/domain/receipt.js';
import type { Log } from '../src/observe/log.js';
import type { Meters } from '../src/observe/meters.js';
import type { Settings } from '../src/settings/settings.js';
import { copyTable } from './copy-table.js';
import { openDeps } from './deps.js';
import { loadSlice } from './load-slice.js';
import { prepareTable } from './prepare-table.js';
import { publishSlice } from './publish-slice.js';
import { removeTable } from './remove-table.js';

/** The activities by the task queue that offers them: all that reads PostgreSQL's tables, and Kafka to ClickHouse. */
export interface Activities {
  readonly producer: Omit<ReplicationActivities, 'loadSlice'>;
  readonly consumer: Pick<ReplicationActivities, 'loadSlice'>;
  /** Ends what they share: call it when no slice runs any more. */
  close(): Promise<void>;
}

/** Opens nothing yet: every connection is made when a slice first needs it. */
export function createActivities(settings: Settings, log: Log, meters?: Meters): Activities {
  const deps = openDeps(settings, log, meters);
  return {
    producer: {
      prepareTable: (request) => prepareTable(deps, request),
      copyTable: (request) => copyTable(deps, request),
      publishSlice: (request) => publishSlice(deps, request),
      removeTable: (request) => removeTable(deps, request),
    },
    consumer: { loadSlice: (request) => loadSlice(deps, request) },
    close: () => deps.close(),
  };
}
