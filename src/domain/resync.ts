import type { LoaderSpec, StageId } from './route.js';

/**
 * A fresh table (the shadow) that is filled beside the live target of a loader and put in its place. Part of the loader in the ledger;
 * of one that has ended it stays, so that a late attempt knows how it ended and the next one gets another number.
 */
export interface Resync {
  /** From 1, never used again for this loader. */
  readonly number: number;
  readonly requestId: string;
  /** `filling`: whatever is written to the live table is written to the shadow too. */
  readonly state: 'filling' | 'swapped' | 'cancelled';
  /** The name that the shadow was made with. */
  readonly table: string;
  /** UUID of the shadow in ClickHouse. */
  readonly uuid: string;
  /** UUID of the table that it takes the place of. */
  readonly replaces: string;
  /** How long the old table is kept, as `parseKeep` takes it. Absent: it is dropped at once. */
  readonly keep?: string;
  /** Rows of its copy; absent before the swap. */
  readonly rows?: number;
}

/** `resync-1`: the loader's name of a shadow. */
const RESYNC_NAME = /^resync-[0-9]+$/u;

export function isResyncName(name: string): boolean {
  return RESYNC_NAME.test(name);
}

export function resyncName({ number }: Pick<Resync, 'number'>): string {
  return `resync-${number}`;
}

/** The copy that fills a shadow. */
export function resyncStage(resync: Pick<Resync, 'number'>): StageId {
  return `copy:${resyncName(resync)}`;
}

export function isResync(stage: StageId): boolean {
  return stage.startsWith('copy:resync-');
}

/** @returns undefined where none is under way */
export function runningResync({ resync }: Pick<LoaderSpec, 'resync'>): Resync | undefined {
  return resync?.state === 'filling' ? resync : undefined;
}

/** The name under which its old table is kept. */
export function oldName({ table }: Pick<Resync, 'table'>): string {
  return `${table}_old`;
}

/** The shadow as a target of its own. @param table its name now, where that is another than at first */
export function shadowLoader(loader: LoaderSpec, resync: Resync, table = resync.table): LoaderSpec {
  const { resync: _, kept: _kept, ...rest } = loader;
  const { database } = loader.target;
  return { ...rest, name: resyncName(resync), target: { database, table, base: resync.table, uuid: resync.uuid } };
}

/** UUID of the live target; undefined where it never had a resync. */
export function liveUuid({ resync }: Pick<LoaderSpec, 'resync'>): string | undefined {
  return resync?.state === 'swapped' ? resync.uuid : resync?.replaces;
}
