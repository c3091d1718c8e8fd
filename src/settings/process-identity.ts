import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: clock ticks since boot where there is /proc, else what `ps` prints. */
  readonly startTime: string;
}

/** The identity of a live process, or undefined: a zombie counts as dead, since some containers never reap orphans. */
export function identify(pid: number): ProcessIdentity | undefined {
  if (process.platform === 'linux') {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      return undefined;
    }
    // The name, in parentheses, may itself hold blanks and parentheses: fields are counted from its end, state is the third.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startTime = fields[19];
    return fields[0] === 'Z' || fields[0] === 'X' || startTime === undefined ? undefined : { pid, startTime };
  }
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state, ...lstart] = line.split(/\s+/);
    return state === undefined || state.startsWith('Z') ? undefined : { pid, startTime: lstart.join(' ') };
  } catch {
    return undefined;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTime === identity.startTime;
}
