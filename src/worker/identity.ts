import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { WorkerRole } from './start.js';

/**
 * Which worker this is, as Temporal shows it: `host/pid/role/1a2b3c4d`. The last part is drawn at random, because a container that is
 * started again has the host name and the pid of the one before, and must not be taken for it.
 */
export function workerIdentity(role: WorkerRole): string {
  return `${hostname()}/${process.pid}/${role}/${randomBytes(4).toString('hex')}`;
}
