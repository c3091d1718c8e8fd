import { TYPE_ROWS } from './rows.js';
import type { TypeRow } from './type.js';

/** The page `docs/21-types.md`, from the table of types: a test holds the two together. */
export function renderTypesPage(): string {
  return [HEAD, types(), OTHERS, outside(), POLICIES, CHOOSING, KEYS].join('\n\n').concat('\n');
}

const HEAD = `# Types

This page is made from the table in \`src/domain/types/rows.ts\`; after a change there, \`npx vitest run types-page --update\` writes it
again.

**Every type of PostgreSQL is replicated, and every value arrives exactly, or your own policy says what becomes of it.** No value is
rounded, clamped, cut off or replaced in silence. What has no exact type in ClickHouse travels as the exact text that PostgreSQL
prints. All roads (first load, Kafka as JSON, packed or Avro, keys, direct, poll, ClickHouse's Kafka engine) store the same value:
\`test/integration/values.ch.test.ts\` compares them, for every type below and its hardest values, with what PostgreSQL says.`;

/** An example of a column, for the ClickHouse type that is shown. */
const EXAMPLE = { name: '', position: 1, type: '', nullable: false };

function clickhouseOf(row: TypeRow): string {
  return row.names.includes('numeric')
    ? '`Decimal(p, s)` or `String`'
    : `\`${row.place({ ...EXAMPLE, type: row.names[0] ?? '' }).clickhouse}\``;
}

function types(): string {
  const lines = TYPE_ROWS.map((row) => {
    const names = row.names.map((name) => `\`${name}\``).join(', ');
    return `| ${names} | ${clickhouseOf(row)} | ${row.choices ?? ''} | ${row.key ? 'yes' : 'no'} | ${row.remarks} |`;
  });
  return [
    '| PostgreSQL | ClickHouse | may also be | in a key | remarks |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

const OTHERS = `Every type may also be \`String\` or \`LowCardinality(String)\`. A nullable column becomes \`Nullable(..)\`.

- **Everything else is \`String\`**, the text that PostgreSQL prints: arrays of any dimension and lower bound (\`{1,2,NULL}\`,
  \`[0:1]={1,2}\`), ranges and multiranges, composite types, and the types of extensions (\`citext\`, \`hstore\`, \`ltree\`, \`vector\`,
  \`geometry\`).
- **A domain** is what it is made of. Its NOT NULL does not count, because a column of it can still hold NULL; that of the column does.
- **Identity and generated columns**, stored and virtual, are columns like any other. A virtual one is computed when its row is read.
- **SQL NULL and JSON \`null\`** stay apart: NULL, and the text \`null\`.
- **The text is that of the output function**, never that of a cast: a cast may be a function of the type's owner, and would run with
  the rights of pg2click. It is printed under \`TimeZone = 'UTC'\`, \`DateStyle = 'ISO'\`, \`IntervalStyle = 'postgres'\`,
  \`bytea_output = 'hex'\`, \`extra_float_digits = 1\` and an empty search path, whatever the role or the database has set.`;

function outside(): string {
  const lines = TYPE_ROWS.flatMap((row) => {
    const place = row.place({ ...EXAMPLE, type: row.names[0] ?? '', precision: 10, scale: 2 });
    if (place.outside === undefined) return [];
    const names = row.names.map((name) => (name === 'numeric' ? '`numeric(p,s)`' : `\`${name}\``)).join(', ');
    const clickhouse = row.names.includes('numeric') ? '`Decimal(p, s)`' : `\`${place.clickhouse}\``;
    const policies = ['text', 'null', ...(place.outside.nearest === undefined ? [] : ['clamp']), 'refuse'];
    return [`| ${names} | ${clickhouse} | ${place.outside.words} | ${policies.join(', ')} |`];
  });
  return [
    '## What needs a policy',
    '',
    'These types have values that their ClickHouse type has no place for. All others have none: they need no policy.',
    '',
    '| PostgreSQL | ClickHouse | has no place for | policies |',
    '| --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

const POLICIES = `\`pg2click add TABLE --policy COLUMN=POLICY\` chooses, and \`--policy POLICY\` for all columns of the table that have such values, except
those of the key. \`status\` shows what was chosen.

| policy | what happens to a value without a place |
| --- | --- |
| \`refuse\` (default) | the row goes to [quarantine](23-quarantine.md), and the table goes on |
| \`text\` | the column is \`String\` and holds the exact text, of all values |
| \`null\` | it is NULL in ClickHouse; the column is \`Nullable\` |
| \`clamp\` | it is the nearest value that has a place. Nothing is near NaN: that is refused |

\`add\` looks for such values before it starts: in a small table it reads the columns, in a large one PostgreSQL's statistics. It says
which columns have some and which policies would take them.

A \`9999-12-31\` or \`infinity\` that stands for "never" is the common case: \`--policy until=null\` or \`--policy until=clamp\`.`;

const CHOOSING = `## Choosing a ClickHouse type

\`pg2click add TABLE --type COLUMN=TYPE\` takes any type of the column "may also be". Where that type has no place for some values of the
column, such as \`Int16\` for an \`integer\`, add a policy for the column too: without one \`add\` refuses. Whether a column is Nullable follows
from PostgreSQL and from its policy, so leave \`Nullable\` out. \`--exclude-column COLUMNS\` leaves columns out; what happens to them
later does not matter. \`--rename-column COLUMN=NAME\` gives a column another name in ClickHouse. Reserved, and refused unless left out or renamed: \`_version\`, \`_deleted\`, \`_part\`, \`_row_exists\`, \`_block_number\`, \`_block_offset\`, and names
like \`note.null\` or \`note.size\` beside a column \`note\`, which ClickHouse reads as a part of it.`;

const KEYS = `## Keys

Types with a "yes" may be part of a key. So may a base type of an extension that a B-tree index can hold, like \`citext\` and \`ltree\`.
Keys are equal where their texts are equal, not where PostgreSQL's \`=\` says so: after an update from \`Ab\` to \`aB\` in a \`citext\` key
the row has the key \`aB\`, and the old key is gone. A key column takes the policies \`refuse\` and \`text\` only, because with the others two keys could
become one.`;
