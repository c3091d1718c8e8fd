import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { FailureKind } from '../failure/kinds.js';
import { listen } from './listen.js';
import type { ServerState } from './server-watch.js';

export type WorkerState = 'starting' | 'polling' | 'ending' | 'ended';

/** Looked at for each request. */
export interface HealthSource {
  worker(): WorkerState;
  servers(): readonly ServerState[];
}

/** A server that has not answered for so long makes the worker not ready: three looks. */
const SILENCE_SECONDS = 15;

interface Problem {
  readonly what: string;
  readonly kind?: FailureKind;
  readonly message: string;
}

/**
 * Serves `/healthz` (the process is alive, and its workers have not ended: restart it if not) and `/readyz` (it polls Temporal
 * and reaches all of its servers: wait if not, since a restart would help nothing). A stuck event loop answers neither: that is
 * what a prober's timeout is for.
 * @param address `host:port`
 * @throws Failure `Misconfigured` where it cannot listen there
 */
export async function openHealthServer(address: string, source: HealthSource): Promise<{ close(): Promise<void> }> {
  const server = createServer((request, response) => answer(source, request, response));
  await listen(server, address, 'PG2CLICK_HEALTH');
  // This server must not keep a process alive that has nothing else to do.
  server.unref();
  return {
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(source: HealthSource, request: IncomingMessage, response: ServerResponse): void {
  const [path] = (request.url ?? '').split('?');
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, { error: 'only GET' });
  if (path === '/healthz') {
    const worker = source.worker();
    return send(response, worker === 'ended' ? 503 : 200, { alive: worker !== 'ended', worker });
  }
  if (path === '/readyz') {
    const problems = findProblems(source);
    return send(response, problems.length === 0 ? 200 : 503, {
      ready: problems.length === 0,
      worker: source.worker(),
      problems,
    });
  }
  return send(response, 404, { error: 'there are /healthz and /readyz' });
}

function findProblems(source: HealthSource): Problem[] {
  const worker = source.worker();
  const problems: Problem[] = [];
  if (worker !== 'polling') problems.push({ what: 'worker', message: `The worker is ${worker}.` });
  const states = source.servers();
  if (states.length === 0 && worker === 'polling')
    problems.push({ what: 'servers', message: 'The servers were not looked at yet.' });
  for (const { server, answeredAgo, problem } of states) {
    if (answeredAgo !== null && answeredAgo <= SILENCE_SECONDS) continue;
    problems.push({ what: server, ...(problem ?? { message: `It has not answered for ${SILENCE_SECONDS} s.` }) });
  }
  return problems;
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}
