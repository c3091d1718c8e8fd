import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { readStackFile } from '../../dev/stack/stack.js';
import { packageRoot } from '../../src/package-root.js';
import { ownStateDir, processesOf } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';
import { isAlive } from '../../src/settings/process-identity.js';

test('after kill -9 of the parent the next start ends what it left, and goes on with the same state', async () => {
  const stateDir = ownStateDir();
  const first = runDev(stateDir);
  await first.says('Temporal UI');
  await query(stateDir, /* sql */ `create table keepsake as select 1 as id`);
  const before = readStackFile(stateDir);
  const orphans = Object.values(before?.children ?? {});
  expect(orphans).toHaveLength(2);

  first.process.kill('SIGKILL');
  await first.ended;
  expect(orphans.map(isAlive)).toEqual([true, true]);

  const second = runDev(stateDir);
  await second.says('Temporal UI');
  expect(second.output()).toContain(
    `ending PostgreSQL of a run that was killed (pid ${before?.children.postgres?.pid})`,
  );
  expect(orphans.map(isAlive)).toEqual([false, false]);
  expect(readStackFile(stateDir)?.addresses).toEqual(before?.addresses);
  expect(await query(stateDir, /* sql */ `select id from keepsake`)).toEqual([{ id: 1 }]);

  second.process.kill('SIGTERM');
  expect(await second.ended).toBe(0);
  expect(processesOf(stateDir)).toEqual([]);
});

test('a server killed under it is started again, and Ctrl-C stops all it started', async () => {
  const stateDir = ownStateDir();
  const dev = runDev(stateDir);
  await dev.says('Temporal UI');
  const killed = readStackFile(stateDir)?.children.postgres;
  if (killed === undefined) throw new Error('PostgreSQL is not in stack.json');
  process.kill(killed.pid, 'SIGKILL');
  await dev.says('PostgreSQL: PostgreSQL was ended by SIGKILL');
  await waitFor(() => query(stateDir, /* sql */ `select 1 as up`), { deadlineMs: 30_000, what: 'PostgreSQL again' });

  expect(dev.output()).toMatch(/Kafka +kafka\.invalid:9092 {2}\(yours\)/);
  expect(dev.output()).not.toContain('not-printed');
  expect(dev.output()).not.toContain(readStackFile(stateDir)?.secrets.postgres);
  dev.process.kill('SIGINT');
  expect(await dev.ended).toBe(0);
  expect(processesOf(stateDir)).toEqual([]);
});

test('a second stack on the same folder is refused while the first runs', async () => {
  const stateDir = ownStateDir();
  const first = runDev(stateDir);
  await first.says('Temporal UI');
  const second = runDev(stateDir);
  expect(await second.ended).not.toBe(0);
  expect(second.output()).toContain(`Process ${first.process.pid} already runs a local stack on ${stateDir}.`);
  expect(await query(stateDir, /* sql */ `select 1 as up`)).toEqual([{ up: 1 }]);
  first.process.kill('SIGTERM');
  expect(await first.ended).toBe(0);
});

/** `pg2click dev` with PostgreSQL and Temporal, as a process of its own. */
function runDev(stateDir: string) {
  const program = join(packageRoot, 'dist', 'test', 'support', 'run-dev.js');
  const child: ChildProcess = spawn(process.execPath, [program, stateDir, 'kafka', 'clickhouse'], { stdio: 'pipe' });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  return {
    process: child,
    ended,
    output: () => output,
    says: (text: string) =>
      waitFor(
        (see) => {
          see(output);
          if (child.exitCode !== null) throw new Error(`it exited with ${child.exitCode}: ${output}`);
          return output.includes(text);
        },
        { deadlineMs: 60_000, what: `"${text}" from dev` },
      ),
  };
}

async function query(stateDir: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ ...readStackFile(stateDir)?.addresses.postgres });
  await client.connect();
  try {
    return (await client.query(statement)).rows as unknown[];
  } finally {
    await client.end();
  }
}
