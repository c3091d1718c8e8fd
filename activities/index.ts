import type { Deployment } from '../src/domain/deployment.js';
import type { ReplicationActivities, TableAddress } from '../src/domain/receipt.js';
import type { Log } from '../src/observe/log.js';
import type { Meters } from '../src/observe/meters.js';
import type { Settings } from '../src/settings/settings.js';
import { cancelBackfill, startBackfill } from './change-backfills.js';
import { addLoader, removeLoader } from './change-loaders.js';
import { changeKept } from './change-kept.js';
import { changeQuarantine } from './change-quarantine.js';
import { cancelReplay, startReplay } from './change-replays.js';
import { changeRoute } from './change-route.js';
import { keepReading } from '../src/source/wal/keep-reading.js';
import { copyTable } from './copy-table.js';
import { directSlice } from './direct-slice.js';
import { openDeps, type Deps } from './deps.js';
import { loadSlice } from './load-slice.js';
import { prepareTable } from './prepare-table.js';
import { publishSlice } from './publish-slice.js';
import { removeTable } from './remove-table.js';
import { replaySlice } from './replay-slice.js';
import { requireOwnRequest } from './require-own-request.js';
import { stopEngine } from './stop-engine.js';
import { watchEngine } from './watch-engine.js';

type ConsumerActivity = 'loadSlice' | 'watchEngine' | 'stopEngine';

/** The activities by the task queue that offers them: all that reads PostgreSQL's tables, and Kafka to ClickHouse. */
export interface Activities {
  readonly producer: Omit<ReplicationActivities, ConsumerActivity>;
  readonly consumer: Pick<ReplicationActivities, ConsumerActivity>;
  /** Who we are. @throws Failure those of PostgreSQL */
  deployment(): Promise<Deployment>;
  /** Reads the WAL for the tables that are captured from it, whatever becomes of their slices. Never rejects. */
  readWal(signal: AbortSignal): Promise<void>;
  /** Ends what they share: call it when no slice runs any more. */
  close(): Promise<void>;
}

/** Opens nothing yet: every connection is made when a slice first needs it. */
export function createActivities(settings: Settings, log: Log, meters?: Meters): Activities {
  const deps = openDeps(settings, log, meters);
  const own =
    <Request extends TableAddress, Result>(activity: (deps: Deps, request: Request) => Promise<Result>) =>
    async (request: Request): Promise<Result> => {
      await requireOwnRequest(deps, request);
      return activity(deps, request);
    };
  return {
    producer: {
      prepareTable: own(prepareTable),
      copyTable: own(copyTable),
      publishSlice: own(publishSlice),
      directSlice: own(directSlice),
      changeRoute: own(changeRoute),
      replaySlice: own(replaySlice),
      addLoader: own(addLoader),
      removeLoader: own(removeLoader),
      startReplay: own(startReplay),
      cancelReplay: own(cancelReplay),
      startBackfill: own(startBackfill),
      cancelBackfill: own(cancelBackfill),
      changeKept: own(changeKept),
      changeQuarantine: own(changeQuarantine),
      removeTable: own(removeTable),
    },
    consumer: { loadSlice: own(loadSlice), watchEngine: own(watchEngine), stopEngine: own(stopEngine) },
    deployment: () => deps.deployment(),
    readWal: (signal) => keepReading(deps, signal),
    close: () => deps.close(),
  };
}
