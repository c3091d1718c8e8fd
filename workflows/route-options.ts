import { ENGINES, LOADER_KINDS, MESSAGE_FORMATS, PAYLOADS, TRANSPORTS } from '../src/domain/route.js';
import type { RouteOptions } from '../src/domain/route-change.js';

/** Characters of a name: those of PostgreSQL and Kafka have at most 249. */
const NAME_LIMIT = 249;
const LONGEST_INTERVAL_MS = 3_600_000;

/** @returns what is wrong with a value, or nothing */
type Check = (value: unknown) => string | undefined;

const oneOf =
  (choices: readonly string[]): Check =>
  (value) =>
    choices.includes(String(value)) ? undefined : `must be ${choices.join(' or ')}`;
const isName: Check = (value) =>
  typeof value === 'string' && value.length > 0 && value.length <= NAME_LIMIT
    ? undefined
    : `must be a text of 1 to ${NAME_LIMIT} characters`;

const CHECKS: Readonly<Record<keyof RouteOptions, Check>> = {
  capture: isName,
  transport: oneOf(TRANSPORTS),
  topic: isName,
  format: oneOf(MESSAGE_FORMATS),
  payload: oneOf(PAYLOADS),
  loader: oneOf(LOADER_KINDS),
  engine: oneOf(ENGINES),
  cursor: isName,
  channel: isName,
  intervalMs: (value) =>
    Number.isInteger(value) && Number(value) >= 10 && Number(value) <= LONGEST_INTERVAL_MS
      ? undefined
      : `must be milliseconds, from 10 to ${LONGEST_INTERVAL_MS}`,
  appendOnly: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
};

export const ROUTE_FIELDS = Object.keys(CHECKS) as readonly (keyof RouteOptions)[];

/** Reads the fields of a message, which a person may have typed. @returns a sentence where one makes no sense, or none is there */
export function readRouteOptions(fields: Readonly<Record<string, unknown>>): RouteOptions | string {
  const given = ROUTE_FIELDS.filter((name) => fields[name] !== undefined && fields[name] !== null);
  if (given.every((name) => name === 'appendOnly'))
    return `configure changes nothing without one of ${ROUTE_FIELDS.filter((name) => name !== 'appendOnly').join(', ')}.`;
  for (const name of given) {
    const problem = CHECKS[name](fields[name]);
    if (problem !== undefined) return `${name} ${problem}.`;
  }
  return Object.fromEntries(given.map((name) => [name, fields[name]])) as RouteOptions;
}

export function isSameWish(a: RouteOptions, b: RouteOptions): boolean {
  return ROUTE_FIELDS.every((name) => a[name] === b[name]);
}
