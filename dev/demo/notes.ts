import type { Client } from 'pg';
import { copyIn, type TextRow } from './copy-in.js';
import type { Flight } from './flights.js';

/** The messy table: quoted names, a composite text key, most types, and texts that break naive formats. */
export const NOTES = { schema: 'public', table: 'Flight Notes' } as const;

/** As SQL writes it. */
export const NOTES_SQL = `"Flight Notes"`;

/** As long as PostgreSQL lets a name be: 63 bytes. */
const LONGEST_NAME = 'remark_of_the_second_officer_which_nobody_reads_but_must_arrive';

/** Column names in the order of `noteOf`, as SQL writes them. */
export const NOTE_COLUMNS = [
  '"Route"',
  '"flight no."',
  'remark',
  `"${LONGEST_NAME}"`,
  'fare',
  'miles',
  '"Größe ✈"',
  'departs_at',
  '"local ""time"""',
  'day',
  'cancelled',
  'ref',
  'status',
  'details',
  'raw',
] as const;

export const STATUSES = ['on time', 'late', `it's "complicated"`, 'zu früh \\ early'] as const;

/** What a CSV export, a JSON escape, a tab-separated line, a trim or a collation might change. */
export const TEXTS: readonly [string, ...string[]] = [
  '',
  ' ',
  'plain',
  'null',
  'NULL',
  '\\N',
  '\\.',
  'tab\there',
  'line\nbreak',
  'carriage\r\nreturn',
  '\b\f\v\u0001\u001f\u007f',
  `it's "quoted" \`and\` 'again'`,
  'C:\\new\\table\\x41\\u0041\\',
  'snow ☃, flight 🛫, family 👩‍👩‍👧',
  'é and e\u0301 are two',
  'right to left: مرحبا',
  '\u2028\u2029\ufeff',
  ' leading and trailing ',
  '{"looks": "like json"}',
  '[1, 2',
  '$1 %s {0} ${x} --; drop table',
  '<b>&amp;</b>',
  'Z'.repeat(600),
];

const text = (number: number): string => TEXTS[number % TEXTS.length] ?? '';

/** Every value of a row, from its number alone; `variant` gives the same key other values. */
export function noteOf(number: number, variant: number, flight?: Flight): TextRow {
  const mix = number * 7 + variant * 13;
  const orNull = (every: number, value: string): string | null => (mix % every === 0 ? null : value);
  const second = String(mix % 60).padStart(2, '0');
  const day = `20${String(10 + (mix % 20))}-0${(mix % 9) + 1}-1${mix % 10}`;
  const doc = { text: text(mix + 3), number: mix, nested: { list: [1, null, true, 'ü'], empty: {} } };
  return [
    ...noteKey(number),
    orNull(4, text(mix + 1)),
    orNull(5, text(mix + 2).slice(0, 40)),
    orNull(6, `${(mix % 20_000) - 10_000}.${String(mix % 100).padStart(2, '0')}`),
    orNull(9, String(flight?.distance ?? mix % 5_000)),
    orNull(7, mix % 11 === 0 ? '-0' : String(Math.fround((flight?.time ?? mix) / 7))),
    orNull(8, `${day} 23:59:${second}.${String((mix * 7_919) % 1_000_000).padStart(6, '0')}+05:30`),
    orNull(3, `${day} 00:00:${second}`),
    orNull(10, day),
    orNull(3, mix % 2 === 0 ? 'true' : 'false'),
    orNull(12, `${hex(mix)}-0000-4000-8000-${hex(mix * 31)}${hex(number).slice(4)}`),
    orNull(5, STATUSES[mix % STATUSES.length] ?? ''),
    orNull(6, JSON.stringify(doc)),
    // Kept by PostgreSQL as it was written: blanks, a key twice, a number that no double holds.
    orNull(6, `{ "b" : 12345678901234567890.123456789,\n  "a":${mix}, "a": ${JSON.stringify(text(mix))} }`),
  ];
}

/** Two texts: the same route in many rows, and numbers that sort otherwise than as numbers. */
export function noteKey(number: number): readonly [string, string] {
  return [`${text(number % 40)} → ${number % 97}`, String(number)];
}

const hex = (number: number): string => (number >>> 0).toString(16).padStart(8, '0');

export async function createNotes(pg: Client, flights: readonly Flight[]): Promise<void> {
  const statuses = STATUSES.map((status) => pg.escapeLiteral(status)).join(', ');
  await pg.query(/* sql */ `create type "Status" as enum (${statuses})`);
  await pg.query(/* sql */ `
    create table ${NOTES_SQL} (
      "Route" text,
      "flight no." text,
      remark text,
      "${LONGEST_NAME}" varchar(40),
      fare numeric(10, 2),
      miles smallint,
      "Größe ✈" real,
      departs_at timestamptz,
      "local ""time""" timestamp,
      day date,
      cancelled boolean,
      ref uuid,
      status "Status",
      details jsonb,
      raw json,
      primary key ("Route", "flight no.")
    )`);
  await copyIn(pg, `${NOTES_SQL} (${NOTE_COLUMNS.join(', ')})`, rowsOf(flights));
  await pg.query(/* sql */ `analyze ${NOTES_SQL}`);
}

function* rowsOf(flights: readonly Flight[]): Generator<TextRow> {
  for (const [number, flight] of flights.entries()) yield noteOf(number, 0, flight);
}
