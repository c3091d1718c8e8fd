import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { environmentOf } from '../support/clients.js';
import { runCli, startCli } from '../support/cli.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';
import { freePort, probe, type Probed, type Readiness } from '../support/worker-endpoints.js';

const HEALTHCHECK = join(packageRoot, 'scripts', 'healthcheck.mjs');
/** A server must have been silent for 15 s; a look may take 5 s and come 5 s after the last. */
const NOTICED_MS = 40_000;

it('a worker is ready while it reaches all four servers, says which it does not, and stays alive meanwhile', async () => {
  const { stack } = await ownStack(ownStateDir(), ['postgres', 'kafka', 'clickhouse', 'temporal']);
  const port = await freePort();
  const env: Record<string, string> = { ...environmentOf(stack.addresses), PG2CLICK_HEALTH: `127.0.0.1:${port}` };
  expect((await runCli(['init'], { env })).code).toBe(0);
  const worker = startCli(['worker'], { env });
  const readiness = (): Promise<Probed<Readiness>> => probe<Readiness>(port, '/readyz');
  const until = (what: string, holds: (probed: Probed<Readiness>) => boolean): Promise<Probed<Readiness>> =>
    waitFor(
      async (see) => {
        const probed = await readiness();
        see(probed.body);
        return holds(probed) ? probed : undefined;
      },
      { deadlineMs: NOTICED_MS, what, everyMs: 250 },
    );
  const check = (path: string) => spawnSync(process.execPath, [HEALTHCHECK, path], { env, encoding: 'utf8' });

  const ready = await until('the worker to be ready', ({ status }) => status === 200);
  expect(ready.body).toEqual({ ready: true, worker: 'polling', problems: [] });
  expect(check('/healthz').status).toBe(0);

  const told = { clickhouse: 'SinkUnavailable', temporal: 'TemporalUnavailable' } as const;
  for (const server of ['clickhouse', 'temporal'] as const) {
    await stack.kill(server);
    const { body } = await until(`the loss of ${server} to be noticed`, ({ status }) => status === 503);
    expect(body).toMatchObject({ ready: false, worker: 'polling' });
    expect(body.problems.map(({ what, kind }) => ({ what, kind }))).toEqual([{ what: server, kind: told[server] }]);
    expect(JSON.stringify(body)).not.toContain(env['PG_PASSWORD']);
    expect(JSON.stringify(body)).not.toContain(env['CH_PASSWORD']);
    // Restarting it would help nothing: it is alive, and will go on by itself.
    expect(await probe(port, '/healthz')).toEqual({ status: 200, body: { alive: true, worker: 'polling' } });
    const refused = check('/readyz');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(server);
    await stack.start(server);
    await until(`${server} to be back`, ({ status }) => status === 200);
  }
  expect((await probe<{ error: string }>(port, '/metrics')).status).toBe(404);

  // Frozen as by a stuck event loop: nobody answers, and the health check does not wait for ever.
  worker.process.kill('SIGSTOP');
  const frozen = check('/healthz');
  worker.process.kill('SIGCONT');
  expect(frozen.status).toBe(1);
  expect(frozen.stderr).toContain('TimeoutError');

  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expect(check('/healthz').stderr).toContain('ECONNREFUSED');
});
