import { CLICKHOUSE_CODES } from './clickhouse-codes.js';
import { GRPC_STATUSES } from './grpc-statuses.js';
import { KAFKA_CLIENT_ERRORS, KAFKA_CODES } from './kafka-codes.js';
import { FAILURE_KINDS, policyOf } from './kinds.js';
import { NODE_CODES } from './node-codes.js';
import { SQLSTATES } from './sqlstates.js';

/** The page `docs/06-failures.md`: made from the tables of kinds and codes, and compared with them by a test. */
export function failurePage(): string {
  const rows = FAILURE_KINDS.map((kind) => {
    const { treatment, remedy } = policyOf(kind);
    return `| \`${kind}\` | ${treatment} | ${remedy} |`;
  });
  return [
    '# Failures',
    '',
    'Every failure has one of these kinds. The kind decides what happens, never the text of a message.',
    '',
    '- **transient**: retried for ever, first within the slice, then by Temporal with a back-off of at most 10 seconds. It',
    '  shows as `retrying` in `pg2click status`, and as a pending activity with its last failure in the Temporal UI.',
    '- **parked**: a retry would not help. The stage waits; the other stages of the table and all other tables go on.',
    "  `pg2click status` and the workflow's page show the cause and the remedy. After the remedy: `pg2click resume TABLE`.",
    '',
    '"Remove the table and add it again" means `pg2click remove TABLE`, then `pg2click add TABLE` with the same options: a table that is',
    'parked prints these commands with its own. The target keeps its rows meanwhile, and the copied rows win over them. With',
    '`remove --drop-target` it is dropped and created again, which is needed if columns or key changed. A target that you made yourself is',
    'never dropped: alter it, or drop it by hand.',
    '',
    '| kind | treatment | what to do |',
    '| --- | --- | --- |',
    ...rows,
    '',
    '## Codes of the servers',
    '',
    'These codes of the four servers decide the kind. A code that is in no table is `Unexpected`, a fault of pg2click: the worker log has its',
    'whole chain of causes. Where a row has a remedy of its own, that one is shown.',
    '',
    '### PostgreSQL',
    '',
    'By SQLSTATE; two characters stand for the rest of a class; after a slash the routine of the server that raised it. In the database of the',
    'ledger `SourceUnavailable` is `LedgerUnavailable`.',
    '',
    ...tableOf(
      'SQLSTATE',
      Object.entries(SQLSTATES)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([code, { name, kind, remedy }]) => [code, name, kind, remedy]),
    ),
    '',
    '### ClickHouse',
    '',
    'A code that says `RowRefused` and is answered to a statement without rows is `Unexpected`.',
    '',
    ...tableOf(
      'code',
      Object.entries(CLICKHOUSE_CODES).map(([code, [name, kind, remedy]]) => [code, name, kind, remedy]),
    ),
    '',
    '### Kafka',
    '',
    'Other errors are `BrokerUnavailable` where Kafka itself calls them retriable. Errors of a client have no number.',
    '',
    ...tableOf('code', [
      ...Object.entries(KAFKA_CODES).map(([name, [number, kind, remedy]]): Line => [number, name, kind, remedy]),
      ...Object.entries(KAFKA_CLIENT_ERRORS).map(([name, kind]): Line => ['', name, kind, undefined]),
    ]),
    '',
    '### Temporal',
    '',
    'By gRPC status.',
    '',
    ...tableOf(
      'status',
      Object.entries(GRPC_STATUSES).map(([code, { name, kind, remedy }]) => [code, name, kind, remedy]),
    ),
    '',
    '### The network',
    '',
    'By the code of Node. The kind is that of the server: `SourceUnavailable`, `LedgerUnavailable`, `BrokerUnavailable`, `RegistryUnavailable`,',
    '`SinkUnavailable` or `TemporalUnavailable`. So are certificates that do not fit.',
    '',
    '| code | the server |',
    '| --- | --- |',
    ...Object.entries(NODE_CODES).map(([code, sentence]) => `| \`${code}\` | ${sentence} |`),
    '',
  ].join('\n');
}

type Line = readonly [code: string | number, name: string, kind: string, remedy: string | undefined];

function tableOf(code: string, lines: readonly Line[]): string[] {
  return [
    `| ${code} | name | kind | what to do, beside what the kind says |`,
    '| --- | --- | --- | --- |',
    ...lines.map(([number, name, kind, remedy = '']) => `| ${number} | ${name} | \`${kind}\` | ${remedy} |`),
  ];
}
