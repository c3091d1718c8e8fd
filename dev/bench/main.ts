import { loadavg } from 'node:os';
import { join, relative } from 'node:path';
import { rm } from 'node:fs/promises';
import { openScreen, type Screen } from '../demo/screen.js';
import { runProgram } from '../program.js';
import { describeMachine, machineLine, type Machine } from './machine.js';
import { readOptions, type BenchOptions } from './options.js';
import { SCENARIOS } from './scenarios.js';
import { openEnvironment, type BenchEnvironment } from './environment.js';
import { renderTable } from './table.js';

process.exitCode = await runProgram(
  () => readOptions(process.argv.slice(2), SCENARIOS),
  async (options, signal) => {
    const measured = await measure(options, signal);
    if (options.json) process.stdout.write(`${JSON.stringify(flatten(measured, options))}\n`);
    return 0;
  },
);

async function measure(options: BenchOptions, signal: AbortSignal): Promise<Measured> {
  const screen = openScreen(options.json ? process.stderr : process.stdout);
  try {
    return await runAll(options, screen, signal);
  } finally {
    screen.close();
  }
}

/** With a single scenario its figures are beside those of the machine. */
function flatten({ scenarios, ...about }: Measured, { isSingle }: BenchOptions): object {
  return isSingle ? { ...about, ...Object.values(scenarios)[0] } : { ...about, scenarios };
}

/** What `--json` prints: each scenario's figures under its name. */
interface Measured {
  readonly machine: Machine;
  readonly options: Pick<BenchOptions, 'rows' | 'seconds'>;
  readonly elapsedSeconds: number;
  readonly scenarios: Readonly<Record<string, object>>;
}

async function runAll(options: BenchOptions, screen: Screen, signal: AbortSignal): Promise<Measured> {
  const startedAt = Date.now();
  const [loadBefore = 0] = loadavg();
  const { stateDir, rows, seconds } = options;
  screen.say(`\n  ${screen.paint.bold('pg2click bench')}  ${screen.paint.dim(relative(process.cwd(), stateDir))}\n`);
  await rm(join(stateDir, 'profiles'), { recursive: true, force: true });
  await using environment = await screen.step(
    'start PostgreSQL, Kafka, ClickHouse and Temporal on this machine',
    (report) =>
      openEnvironment({
        stateDir,
        signal,
        report: (event) => {
          if (event.kind === 'step') report(event.text);
          // What a server that is gone gives is no figure.
          if (event.kind === 'died' || event.kind === 'note') screen.say(`  ${event.text}`);
        },
      }),
  );
  const machine = await describeMachine(environment, loadBefore);
  const scenarios = await runScenarios(options, screen, environment);
  screen.say(`\n  ${screen.paint.dim(machineLine(machine))}\n`);
  return {
    machine,
    options: { rows, seconds },
    elapsedSeconds: Math.round((Date.now() - startedAt) / 1_000),
    scenarios,
  };
}

async function runScenarios(
  options: BenchOptions,
  screen: Screen,
  environment: BenchEnvironment,
): Promise<Measured['scenarios']> {
  const results: Record<string, object> = {};
  for (const scenario of SCENARIOS.filter(({ name }) => options.only.includes(name))) {
    const report = await screen.step(scenario.name, (report) => scenario.run({ environment, options, report }));
    results[scenario.name] = report.result;
    for (const table of report.tables)
      for (const line of ['', ...renderTable(table, screen.paint)]) screen.say(line === '' ? '' : `  ${line}`);
    screen.say('');
  }
  return results;
}
