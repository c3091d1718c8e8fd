import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/failure/failure.js';
import { PORT_NAMES, type PortName, type Ports } from './server.js';

/**
 * Below the ranges that Linux (32768) and macOS (49152) take for outgoing connections: a port of those, remembered, may be
 * some client's when the stack starts again.
 */
const FIRST = 15_000;
const LAST = 32_000;

/** The ports of a stack: those given, else those remembered, else free ones. */
export async function choosePorts(given: Partial<Ports>, remembered: Partial<Ports>): Promise<Ports> {
  const taken = new Set<number>([...Object.values(given), ...Object.values(remembered)]);
  const chosen: Partial<Record<PortName, number>> = {};
  for (const name of PORT_NAMES) {
    const known = given[name] ?? remembered[name];
    const port = known ?? (await freePort(taken));
    taken.add(port);
    chosen[name] = port;
  }
  return chosen as Ports;
}

/** A server that was killed a moment ago may still hold its port: the kernel takes its time to end a large process. */
const RELEASE_MS = 3_000;
const LOOK_EVERY_MS = 100;

/** @throws Misconfigured when something goes on listening on the port */
export async function assertFree(port: number, title: string, setting: string): Promise<void> {
  const deadline = Date.now() + RELEASE_MS;
  while (Date.now() < deadline) {
    if (await isFree(port)) return;
    await sleep(LOOK_EVERY_MS);
  }
  throw new Failure('Misconfigured', {
    message: `Port ${port}, which ${title} of the local stack would listen on, is in use by another program.`,
    remedy: `End that program, give ${title} another port, or set ${setting} to use a server of your own; the other servers do not need it.`,
  });
}

async function freePort(taken: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const port = randomInt(FIRST, LAST);
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new Failure('Misconfigured', { message: `No free port between ${FIRST} and ${LAST} on 127.0.0.1.` });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
