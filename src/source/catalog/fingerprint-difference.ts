import type { ExcludedColumn } from '../../domain/replicated-table.js';
import type { Fingerprint, FingerprintColumn, FingerprintPartition } from './fingerprint.js';
import { flawOfPartition } from './inspect.js';

/**
 * What happened to the source between two fingerprints, in words, as the end of a sentence. Texts may differ where nothing
 * did that matters: VACUUM FULL, SET STATISTICS, a wider varchar, a new enum label, SET NOT NULL.
 * @param excluded columns that are not looked at
 * @returns '' when nothing did that matters
 */
export function explainFingerprint(before: string, after: string, excluded: readonly ExcludedColumn[] = []): string {
  const old = JSON.parse(before) as Fingerprint;
  const now = JSON.parse(after) as Fingerprint;
  return [
    ...differencesOfTable(old, now),
    ...differencesOfPartitions(old, now),
    ...differencesOfColumns(old, now, excluded),
    ...differencesOfLabels(old, now),
    ...differencesOfTriggers(old, now),
  ].join('; ');
}

/** What happened to what captures the table by triggers, as the end of a sentence; '' when nothing did. */
export function explainTriggers(before: string, after: string): string {
  const old = JSON.parse(before) as Fingerprint;
  const now = JSON.parse(after) as Fingerprint;
  return [...differencesOfOutbox(old, now), ...differencesOfTriggers(old, now)].join('; ');
}

function differencesOfOutbox(old: Fingerprint, now: Fingerprint): string[] {
  if (old.outbox === now.outbox) return [];
  if (now.outbox !== null) return ['its outbox, or the sequence of it, was altered'];
  // Whoever is woken has to know that it is not the copy alone that stands still.
  const isRefused = Object.keys(now.triggers).length > 0;
  return [
    `its outbox was dropped${isRefused ? ', and its triggers refuse every write to the table until it is removed from pg2click' : ''}`,
  ];
}

function differencesOfTable(old: Fingerprint, now: Fingerprint): string[] {
  return [
    old.server === now.server ? '' : 'it is in another PostgreSQL server or database',
    old.name === now.name ? '' : `it was renamed from ${old.name} to ${now.name}`,
    old.kind === now.kind ? '' : 'it is another kind of relation',
    old.persistence === now.persistence ? '' : 'it was made logged or unlogged',
    isMissed(now) && !isMissed(old) ? 'a subscription now applies changes to it' : '',
    old.relatives.join() === now.relatives.join() ? '' : 'tables were attached to it, detached from it, or it inherits',
    old.keyed && !now.keyed ? 'no suitable unique index on its key is there any more' : '',
    ...differencesOfOutbox(old, now),
  ].filter(Boolean);
}

/** Whether a subscription applies changes that nobody sees; what older releases did not see, they say in one word. */
function isMissed({ subscribed, missesApplied = true }: Fingerprint): boolean {
  return subscribed && missesApplied;
}

function differencesOfPartitions(old: Fingerprint, now: Fingerprint): string[] {
  const [before, after] = [old.partitions ?? {}, now.partitions ?? {}];
  const oids = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return oids.flatMap((oid) => differencesOfPartition(before[oid], after[oid]));
}

function differencesOfPartition(was: FingerprintPartition | undefined, is: FingerprintPartition | undefined): string[] {
  if (was === undefined && is === undefined) return [];
  if (is === undefined) return [`the partition ${was?.name ?? ''} was detached or dropped`];
  const flaw = flawOfPartition(is);
  if (flaw !== undefined) return [`the partition ${is.name} is ${flaw.what}`];
  if (was === undefined) return [`the partition ${is.name} was attached`];
  if (was.triggers !== is.triggers)
    return [`triggers of the partition ${is.name} were off, dropped or others for a while`];
  // VACUUM FULL does the same: without a trigger nobody can tell.
  if (!was.guarded && was.file !== is.file)
    return [`the partition ${is.name} was emptied or rewritten, and no trigger of ours saw it`];
  return [];
}

/** Whether a partition was written again, or emptied. */
export function isAnyRewritten(
  { partitions: before = {} }: Pick<Fingerprint, 'partitions'>,
  { partitions: after = {} }: Pick<Fingerprint, 'partitions'>,
): boolean {
  return Object.entries(before).some(([oid, was]) => after[oid] !== undefined && after[oid].file !== was.file);
}

function differencesOfColumns(old: Fingerprint, now: Fingerprint, excluded: readonly ExcludedColumn[]): string[] {
  const all = new Set([...Object.keys(old.columns), ...Object.keys(now.columns)]);
  const positions = [...all].filter((position) => !excluded.some((each) => each.position === Number(position)));
  const rewritten = old.file !== now.file || isAnyRewritten(old, now);
  return positions.flatMap((position) => {
    const was = old.columns[position];
    const is = now.columns[position];
    if (was === undefined) return [`column ${is?.name ?? ''} was added`];
    if (is === undefined) return [`column ${was.name} was dropped`];
    if (was.name !== is.name) return [`column ${was.name} was renamed to ${is.name}`];
    if (was.type !== is.type || (was.modifier !== is.modifier && !isWider(was, is)))
      return [`the type of column ${is.name} was changed from ${was.typeName} to ${is.typeName}`];
    if (was.collation !== is.collation) return [`the collation of column ${is.name} was changed`];
    if (was.notNull && !is.notNull) return [`column ${is.name} may be NULL now`];
    if (was.generated !== is.generated) return [`column ${is.name} is generated in another way`];
    // Either alone is harmless. Both together are what ALTER COLUMN TYPE .. USING to the same type leaves behind.
    if (rewritten && isTouched(was, is)) return [`the values of column ${is.name} may have been rewritten`];
    return [];
  });
}

/**
 * Whether the entry of a column was written again, by anything but the end of its `missing`: VACUUM FULL and CLUSTER write that constant
 * into the rows. So does ALTER TYPE .. USING, which makes the default again; without a default nobody can tell.
 */
export function isTouched(was: FingerprintColumn, is: FingerprintColumn): boolean {
  const isFilled =
    was.missing === true &&
    is.missing === false &&
    typeof was.default === 'string' &&
    was.default === is.default &&
    was.type === is.type &&
    was.modifier === is.modifier;
  return was.row !== is.row && !isFilled;
}

/** A varchar that allows more: nothing was rewritten, and the target is a String of any length. */
function isWider(was: { typeName: string; modifier: number }, is: { modifier: number }): boolean {
  return was.typeName.startsWith('character varying') && (is.modifier < 0 || is.modifier > was.modifier);
}

/** RENAME VALUE changes every row that has it, without touching one. */
function differencesOfLabels(old: Fingerprint, now: Fingerprint): string[] {
  return Object.entries(old.labels)
    .filter(([oid, label]) => now.labels[oid] !== undefined && now.labels[oid] !== label)
    .map(([oid, label]) => `the enum label ${label} was renamed to ${now.labels[oid] ?? ''}`);
}

function differencesOfTriggers(old: Fingerprint, now: Fingerprint): string[] {
  return Object.entries(old.triggers).flatMap(([name, was]) => {
    const is = now.triggers[name];
    if (is === undefined) return [`the trigger ${name} was dropped`];
    if (is.identity !== was.identity) return [`the trigger ${name} was made again`];
    if (is.enabled !== was.enabled) return [`the trigger ${name} was disabled, or fires in other sessions than before`];
    if (is.row !== was.row) return [`the trigger ${name} was off or another one for a while`];
    return [];
  });
}
