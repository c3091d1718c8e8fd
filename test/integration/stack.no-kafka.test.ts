import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { emptyFolder, runCli, startCli } from '../support/cli.js';
import { ownStateDir, processesOf } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';

test('pg2click dev --no-kafka starts the other three without Java and Maven, and init finds them', async () => {
  const directory = ownStateDir();
  const stackFile = join(directory, 'stack.json');
  const env = { PATH: pathWithout(['java', 'mvn']), JAVA_HOME: '', PG2CLICK_STACK_FILE: stackFile };
  const dev = startCli(['dev', '--no-kafka'], { directory, env });
  const addresses = await waitFor(
    (see) => {
      see(dev.output());
      if (dev.process.exitCode !== null) throw new Error(`it ended: ${dev.output()}`);
      return /^PostgreSQL +\S+ +database .*Ctrl-C/msu.exec(dev.output())?.[0];
    },
    { deadlineMs: 180_000, what: 'the servers' },
  );
  expect(addresses).not.toContain('Kafka');
  const { settings } = JSON.parse(readFileSync(stackFile, 'utf8')) as { settings: object };
  expect(Object.keys(settings).toSorted()).toEqual(['clickhouse', 'postgres', 'temporal']);

  const init = await runCli(['init'], { directory, env });
  expect(init.stdout).toMatch(/^– Kafka +not configured: tables can go directly/mu);
  expect(init.code).toBe(0);
  dev.process.kill('SIGINT');
  expect((await dev.ended).code).toBe(0);
  expect(processesOf(directory)).toEqual([]);
});

/** A folder that stands for PATH, and lacks some of its programs. */
function pathWithout(missing: readonly string[]): string {
  const folder = emptyFolder();
  for (const directory of (process.env['PATH'] ?? '').split(delimiter).filter((each) => existsSync(each)))
    for (const program of readdirSync(directory))
      if (!missing.includes(program) && !existsSync(join(folder, program)))
        symlinkSync(join(directory, program), join(folder, program));
  return folder;
}
