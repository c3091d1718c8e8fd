import type { LoaderSpec } from './route.js';

/** The old table of a resync, as the ledger has it: part of the loader whose target it was. */
export interface KeptTable {
  /** Beside the target, in its database. One that somebody has renamed is left alone. */
  readonly table: string;
  /** In ClickHouse. */
  readonly uuid: string;
  /** ISO 8601: when it is dropped. Null: when somebody asks for it. */
  readonly until: string | null;
}

/** The same as people see it. */
export interface Kept extends Pick<KeptTable, 'until'> {
  /** `database.table` */
  readonly name: string;
}

const FOREVER = 'forever';
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Ten years. */
const LONGEST_MS = 3_650 * 86_400_000;

export const KEEP_FORMS = 'a time such as 30m, 12h or 7d, at most 3650d; or forever, until you drop it';

/** @returns milliseconds; null for ever; undefined for what is neither */
export function parseKeep(text: string): number | null | undefined {
  if (text === FOREVER) return null;
  const [, number = '', unit = ''] = /^(\d{1,9})([smhd])$/u.exec(text) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? 0);
  return ms > 0 && ms <= LONGEST_MS ? ms : undefined;
}

/** @param keep as `parseKeep` takes it @returns ISO 8601; null for ever */
export function keptUntil(keep: string, from: number): string | null {
  const ms = parseKeep(keep) ?? null;
  return ms === null ? null : new Date(from + ms).toISOString();
}

export function keptName({ target }: Pick<LoaderSpec, 'target'>, { table }: Pick<KeptTable, 'table'>): string {
  return `${target.database}.${table}`;
}

/** Of all loaders, oldest first. */
export function keptBy({
  loaders,
}: {
  readonly loaders: readonly Pick<LoaderSpec, 'target' | 'kept'>[];
}): readonly Kept[] {
  return loaders.flatMap((loader) =>
    (loader.kept ?? []).map((kept) => ({ name: keptName(loader, kept), until: kept.until })),
  );
}
