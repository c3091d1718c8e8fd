import { Command, Option } from 'commander';
import { CASES, type CaseName, type OutageCase } from './outage-cases.js';
import { measureOutage, type OutageResult } from './outage-run.js';
import { openEnvironment, type BenchEnvironment } from './environment.js';

/**
 * What happens while a server is away, second by second, and how soon rows flow again.
 *   node dist/dev/bench/outages.js [--case clickhouse|kafka|postgres|temporal|zombie|all] [--rows-per-second 500] [--json]
 */
interface Options {
  readonly case: CaseName | 'all';
  readonly rowsPerSecond: number;
  readonly json: boolean;
}

const command = new Command('outages')
  .description('Takes servers away from a running replication, on a local stack of its own, and shows every stage.')
  .addOption(new Option('--case <name>', 'which').choices([...Object.keys(CASES), 'all']).default('all'))
  .addOption(new Option('--rows-per-second <n>', 'that are inserted').default(500).argParser(Number))
  .option('--json', 'lines on standard error, and one JSON object as the last line of standard output', false);
const options = command.parse().opts<Options>();
const say = (line: string): void => void (options.json ? process.stderr : process.stdout).write(`${line}\n`);

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => stop.abort(new Error(signal)));

const names = options.case === 'all' ? (Object.keys(CASES) as CaseName[]) : [options.case];
const results: Record<string, OutageResult> = {};
try {
  await using environment = await openEnvironment({ signal: stop.signal });
  for (const name of names) results[name] = await runCase(environment, name, CASES[name]);
} finally {
  process.exitCode = Object.values(results).length === names.length && Object.values(results).every(isWell) ? 0 : 1;
}
if (options.json) process.stdout.write(`${JSON.stringify({ rowsPerSecond: options.rowsPerSecond, cases: results })}\n`);

async function runCase(environment: BenchEnvironment, name: CaseName, outage: OutageCase): Promise<OutageResult> {
  say(`\n${name}: ${outage.title}`);
  const result = await measureOutage(environment, { name, outage, rowsPerSecond: options.rowsPerSecond, say });
  say(
    `  rows flow again ${seconds(result.flowsAfterSeconds)} after ${outage.back}, and are there within a second of their commit after ${seconds(result.caughtUpAfterSeconds)}`,
  );
  say(
    `  compared: ${result.equal} of ${result.rows} rows equal, ${result.missing} missing, ${result.extra} extra, ${result.changed} changed`,
  );
  return result;
}

function isWell(result: OutageResult): boolean {
  return result.rows === result.equal && result.missing + result.extra + result.changed === 0;
}

function seconds(value: number): string {
  return `${value.toFixed(1)} s`;
}
