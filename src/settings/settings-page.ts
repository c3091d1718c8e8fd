import type { Setting } from './setting.js';
import { GROUPS, type Group } from './setting.js';
import { SETTINGS } from './table.js';

/** The page `docs/07-settings.md`, from the table: a test holds the two together. */
export function renderSettingsPage(): string {
  return `${HEAD}\n\n${GROUPS.map(section).join('\n\n')}\n`;
}

const HEAD = `# Settings

This page is made from the table in \`src/settings/table.ts\`; after a change there, \`npx vitest run settings-page --update\` writes
it again.

Settings come from four places; the first that says something wins:

1. the environment of the process
2. the file \`.env\` in the working directory, or the one that \`--settings\` names (\`--no-env-file\` reads none)
3. the addresses of a local stack that \`pg2click dev\` runs in the same directory, for servers whose address nobody wrote
4. the defaults below

Things worth knowing:

- **Secrets from files.** \`NAME_FILE\` names a file that holds the value of a secret, e.g. \`PG_PASSWORD_FILE=/run/secrets/pg\`. Setting
  both in the same place is an error. Secrets are marked below; no log, message or \`--json\` shows them.
- **URLs.** \`PG_URL\` and \`CH_URL\` replace the single names. What a URL leaves out, the single names may say; where both say
  something and it differs, that is an error. Special characters in a URL's password are written as \`%XX\`.
- **Typing errors.** A name in \`.env\` that begins with \`PG_\`, \`LEDGER_PG_\`, \`KAFKA_\`, \`CH_\` or \`PG2CLICK_\`, and is nearly a setting that is not
  set, is an error that names the nearest. In the environment, which other programs share, only \`PG2CLICK_\` and \`LEDGER_PG_\` are that
  strict; the others are reported as warnings. So are the names in \`.env\` that begin so and are near to no setting.
- **Lines that would not be read.** A name of ours without \`=\`, one that is given twice, and a quote that is not closed are refused, with
  the file and the line.
- **A file that is named** by \`--settings\` is not mixed with a local stack of the directory: where it leaves out a server that the stack
  has, that is refused. \`PG2CLICK_STACK_FILE\` says that the mixture is meant. \`pg2click init\` shows which addresses are not written.
- **A \`#\` in a password** of \`.env\` begins a comment unless the value is in quotes: that is refused, not cut off.
- **Empty values** count as not set.
- **Temporal** is found as its own command line finds it: by \`TEMPORAL_*\`, and by its configuration file with its profiles.
- **TLS** is off until it is asked for, and verifies certificates and their names once it is on: see
  [Security](09-security.md). Files are read at the start: after a renewal, start the workers again.`;

const INTRODUCTIONS: Partial<Record<Group, string>> = {
  ClickHouse:
    'Loaders may write to other servers (see [Loaders and replay](18-loaders-and-replay.md)). `CH_URL_EU=https://user@host:8443/database`, ' +
    '`CH_PASSWORD_EU` and `CH_TLS_CA_EU` describe the server `eu`; any name of capital letters, digits and `_` will do. Both secrets may ' +
    'be in files (`CH_URL_EU_FILE`). Every worker needs them.',
  Temporal:
    "Every other `TEMPORAL_*` name that Temporal's command line knows (certificates as data, gRPC metadata) works too.",
  Worker: 'Read by `pg2click worker`, and by `pg2click add` where it says so.',
};

function section(group: Group): string {
  const introduction = INTRODUCTIONS[group];
  const rows = Object.entries<Setting>(SETTINGS)
    .filter(([, setting]) => setting.group === group)
    .map(([name, setting]) => row(name, setting));
  return [
    `## ${group}`,
    '',
    ...(introduction === undefined ? [] : [introduction, '']),
    '| name | type | default | what it says |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function row(name: string, setting: Setting): string {
  const secret = setting.secret ? ' Secret.' : '';
  const fallback = setting.default === undefined ? (setting.defaultWords ?? '') : `\`${setting.default}\``;
  const type = setting.unit === undefined ? setting.kind.name : `${setting.kind.name} (${setting.unit})`;
  return `| \`${name}\` | ${escape(type)} | ${escape(fallback)} | ${escape(setting.description)}${secret} |`;
}

function escape(cell: string): string {
  return cell.replaceAll('|', String.raw`\|`).replaceAll('<', '&lt;');
}
