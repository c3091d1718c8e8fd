import type { BackfillTerms } from '../src/domain/backfill.js';
import { COPY_PRIORITIES, isCopyPriority } from '../src/domain/copy-priority.js';
import { KEEP_FORMS, parseKeep } from '../src/domain/kept-table.js';
import { BOUND_FORMS, parseBound, type ReplayTerms } from '../src/domain/replay.js';
import { isText } from './answers.js';

type Fields = Readonly<Record<string, unknown>>;

const NAME = /^[a-z0-9-]{1,40}$/u;
/** Of a text in a message, characters. */
export const TEXT_LIMIT = 500;
/** Of what is none of them. */
export const BAD_PRIORITY = `priority must be ${COPY_PRIORITIES.join(', ')}.`;
export const BAD_KEEP = `keep must be ${KEEP_FORMS}.`;
const KEY_LIMIT = 4_000;
const WHERE_LIMIT = 4_000;

/** @returns a sentence for what is wrong with one of the fields */
export function readBackfill(fields: Fields): BackfillTerms | string {
  const { where = null, prune = false, loader = null, priority = null } = fields;
  const [from, to] = [boundOf(fields['from']), boundOf(fields['to'])];
  if (!isText(from, KEY_LIMIT) || !isText(to, KEY_LIMIT))
    return 'from and to must be keys: a text or a number, or a list of them for a key of several columns: ["eu", 12].';
  if (!isText(where, WHERE_LIMIT)) return `where must be a condition in SQL of 1 to ${WHERE_LIMIT} characters.`;
  if (typeof prune !== 'boolean') return 'prune must be true or false.';
  if (where !== null && (from !== null || to !== null)) return 'Give from and to, or where, and not both.';
  if (where !== null && prune)
    return 'prune goes with from and to, or alone: ClickHouse cannot judge a condition of PostgreSQL.';
  if (loader !== null && !isName(loader)) return badName(loader);
  if (priority !== null && !isCopyPriority(priority)) return BAD_PRIORITY;
  return {
    ...(from === null ? {} : { from }),
    ...(to === null ? {} : { to }),
    ...(where === null ? {} : { where }),
    ...(prune ? { prune } : {}),
    ...(loader === null ? {} : { loader }),
    ...(priority === null ? {} : { priority }),
  };
}

/** Numbers and lists are welcome in JSON; what is none of these is left for the check. */
function boundOf(value: unknown): unknown {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return JSON.stringify(value);
  return value ?? null;
}

/** @returns as `readBackfill` */
export function readResync({ loader = null, keep = null, priority = null }: Fields): BackfillTerms | string {
  if (loader !== null && !isName(loader)) return badName(loader);
  if (keep !== null && !isKeep(keep)) return BAD_KEEP;
  if (priority !== null && !isCopyPriority(priority)) return BAD_PRIORITY;
  return {
    resync: true,
    ...(keep === null ? {} : { keep }),
    ...(loader === null ? {} : { loader }),
    ...(priority === null ? {} : { priority }),
  };
}

export function isKeep(value: unknown): value is string {
  return typeof value === 'string' && parseKeep(value) !== undefined;
}

/** @returns as `readBackfill` */
export function readReplay(fields: Fields): ReplayTerms | string {
  const { from = null, to = null, loader = null, into = null, topicOnly = false } = fields;
  if (typeof from !== 'string' || parseBound(from) === undefined) return `from must be beginning, ${BOUND_FORMS}.`;
  if (to !== null && (typeof to !== 'string' || parseBound(to) === undefined)) return `to must be ${BOUND_FORMS}.`;
  if (loader !== null && !isName(loader)) return badName(loader);
  if (!isText(into, TEXT_LIMIT)) return 'into must be a text: table or database.table.';
  if (typeof topicOnly !== 'boolean') return 'topicOnly must be true or false.';
  if (topicOnly && into === null) return 'topicOnly goes with into: a replay into the live table copies nothing.';
  return {
    from,
    ...(to === null ? {} : { to }),
    ...(loader === null ? {} : { loader }),
    ...(into === null ? {} : { into }),
    ...(topicOnly ? { topicOnly } : {}),
  };
}

export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

export function badName(value: unknown): string {
  return value === null
    ? 'name must be there: the name of a loader.'
    : 'A loader is named by 1 to 40 lower-case letters, digits and "-".';
}
