import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/failure/failure.js';
import { endProcess, lastMeaningfulLine, spawnChild, type Child, type Exit } from './child.js';
import type { ServerContext, Server } from './server.js';
import { assertFree } from './port.js';

/** A broker on a busy two-core machine took 15 s; crash recovery of a large PostgreSQL takes longer. */
const READY_DEADLINE_MS = 120_000;
const PROBE_EVERY_MS = 50;
const RETRY_EVERY_MS = 300;

/**
 * Prepares and starts a server, and resolves once it answers.
 * @param onSpawn told of each process as soon as there is one, before it is ready
 * @throws Misconfigured when something is missing, a port is taken, or the server gives up; the signal's reason when aborted. No
 * process is left then.
 */
export async function launchServer(
  server: Server,
  context: ServerContext,
  logFile: string,
  onSpawn: (child: Child) => void,
): Promise<Child> {
  const launch = await server.prepare(context);
  for (const name of server.portNames) await assertFree(context.ports[name], server.title, server.setting);
  context.step('starting');
  for (let attempt = 0; ; attempt++) {
    context.signal.throwIfAborted();
    const child = await spawnChild(launch, logFile).catch((error: unknown) => {
      throw new Failure('Misconfigured', {
        message: `${server.title} could not be started from ${launch.command}.`,
        remedy: `Check that the program is there and may be run, or set ${server.setting} to use a server of your own.`,
        cause: error,
      });
    });
    onSpawn(child);
    const exit = await untilReady(server, context, child);
    if (exit === undefined) return child;
    if (attempt >= server.startRetries) throw gaveUp(server, child, exit);
    await sleep(RETRY_EVERY_MS);
  }
}

/** How a process ended, in words. */
export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
}

/** @returns how the process ended, or undefined when it answers */
async function untilReady(server: Server, context: ServerContext, child: Child): Promise<Exit | undefined> {
  let exit: Exit | undefined;
  void child.exited.then((how) => (exit = how));
  const deadline = Date.now() + READY_DEADLINE_MS;
  for (;;) {
    const failure = await server.probe(context).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (exit !== undefined) return exit;
    if (failure === undefined && !context.signal.aborted) return undefined;
    if (context.signal.aborted || Date.now() > deadline || failure?.error instanceof Failure) {
      await endProcess(child.identity, server.stopSignal, 10_000);
      context.signal.throwIfAborted();
      if (failure?.error instanceof Failure) throw failure.error;
      throw new Failure('Misconfigured', {
        message: `${server.title} did not answer within ${READY_DEADLINE_MS / 1_000} s of its start; its log is ${child.logFile}.`,
        cause: failure?.error,
      });
    }
    await sleep(PROBE_EVERY_MS);
  }
}

function gaveUp(server: Server, child: Child, exit: Exit): Failure {
  const line = lastMeaningfulLine(child.logFile, child.logStart);
  return new Failure('Misconfigured', {
    message: `${server.title} ${describeExit(exit)} at its start${line === undefined ? '' : ` ("${line}")`}; its log is ${child.logFile}.`,
    remedy: `Correct what the log names, start with --reset if its data is beyond repair, or set ${server.setting} to use a server of your own.`,
  });
}
