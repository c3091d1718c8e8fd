import { copyStage, deliveryStage, type StageId } from '../domain/route.js';
import type { Pause } from '../../workflows/table-state.js';
import type { TableBacklog } from './backlog.js';
import type { StageView } from './table-view.js';

/** A loader as `loader list` and `status` show it. */
export interface LoaderView {
  readonly name: string;
  readonly kind: string;
  /** `database.table` */
  readonly target: string;
  /** Name of its ClickHouse server in the settings; null for that of `CH_URL`. */
  readonly server: string | null;
  readonly stage: StageId;
  /** Whether its target has got its copy of the table. */
  readonly copied: boolean;
  readonly rows: number;
  /** Changes that wait for it; null where that is not known. */
  readonly waiting: number | null;
  readonly lagSeconds: number | null;
  readonly running: boolean;
  /** The next offset of each partition of its topic; null where it has none. */
  readonly offsets: Readonly<Record<string, string>> | null;
  /** It has not loaded messages that are older than half of Kafka's retention; null where nobody asked Kafka. */
  readonly late: boolean | null;
  readonly paused: { readonly since: string; readonly reason: string | null } | null;
}

export function loaderViews(
  { table, stages: rows }: TableBacklog,
  stages: readonly StageView[],
  pauses: Readonly<Record<string, Pause>> = {},
): readonly LoaderView[] {
  const { route } = table;
  return route.loaders.map(({ name, kind, target, connection = null }) => {
    const stage = deliveryStage(route, name);
    const view = stages.find(({ id }) => id === stage);
    const copy = rows[copyStage(name)];
    return {
      name,
      kind,
      target: `${target.database}.${target.table}`,
      server: connection,
      stage,
      copied: copy === undefined || copy.batch > 0,
      rows: view?.rows ?? 0,
      waiting: view?.waiting ?? null,
      lagSeconds: view?.lagSeconds ?? null,
      running: view?.running ?? false,
      offsets: rows[stage]?.offsets ?? null,
      late: null,
      paused: pauses[name] ?? null,
    };
  });
}
