import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/** Seconds of a core, by the name of who spent them. */
export type CoreSeconds = Readonly<Record<string, number>>;

interface Process {
  readonly parent: number;
  /** Its own, and that of its children that have ended and were waited for. */
  readonly ticks: number;
}

/**
 * What processes have spent since they began, with all their descendants: PostgreSQL's work is done by children of its
 * postmaster, and what those spent that have ended is on the postmaster's account. Zeros where there is no /proc.
 */
export function coreSeconds(pids: Readonly<Record<string, number | undefined>>): CoreSeconds {
  const processes = listProcesses();
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of processes) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const ticksOf = (pid: number): number =>
    (children.get(pid) ?? []).reduce((sum, child) => sum + ticksOf(child), processes.get(pid)?.ticks ?? 0);
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => [name, pid === undefined ? 0 : ticksOf(pid) / TICKS_A_SECOND]),
  );
}

/** What this process has spent, with its children that have ended: not the servers, which run on. Zero where there is no /proc. */
export function ownAndEndedSeconds(): number {
  try {
    return readStat(readFileSync('/proc/self/stat', 'utf8')).ticks / TICKS_A_SECOND;
  } catch {
    return 0;
  }
}

/** To hundredths. */
export function spentBetween(before: CoreSeconds, after: CoreSeconds): CoreSeconds {
  return Object.fromEntries(
    Object.entries(after).map(([name, seconds]) => [name, Math.round((seconds - (before[name] ?? 0)) * 100) / 100]),
  );
}

/** The fields of a `stat` file. The name, in parentheses, may itself hold blanks and parentheses: counted from its end. */
export function readStat(stat: string): Process {
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // state ppid .. utime stime cutime cstime are fields 3, 4 and 14 to 17.
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
  return { parent: fields[1] ?? 0, ticks };
}

function listProcesses(): ReadonlyMap<number, Process> {
  const found = new Map<number, Process>();
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return found;
  }
  for (const name of names) {
    if (!/^\d+$/u.test(name)) continue;
    try {
      found.set(Number(name), readStat(readFileSync(`/proc/${name}/stat`, 'utf8')));
    } catch {
      // It has ended since the folder was listed: its parent has its ticks.
    }
  }
  return found;
}

/** Most memory a process has held since it began, or since `resetPeak`. Mebibytes; undefined once it is gone. */
export function peakMegabytes(pid: number | undefined): number | undefined {
  try {
    const line = /VmHWM:\s+(\d+) kB/u.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return line === null ? undefined : Math.round(Number(line[1]) / 1024);
  } catch {
    return undefined;
  }
}

/** Lets the peak restart from what is held now, where the kernel allows it. */
export function resetPeak(pid: number | undefined): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Then the peak is that of the whole life, which is no less.
  }
}
