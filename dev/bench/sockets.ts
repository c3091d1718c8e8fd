import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** `TCP_ESTABLISHED` in `/proc/net/tcp`. */
const ESTABLISHED = '01';

/** Open connections of a process to a port, whatever the host. 0 where there is no /proc. */
export function countSockets(pid: number, port: number): number {
  try {
    const inodes = new Set<string>();
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/u.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
    const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    return ['tcp', 'tcp6']
      .flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n').slice(1))
      .map((line) => line.trim().split(/\s+/u))
      .filter(([, , to, state, , , , , , inode]) => {
        return to?.endsWith(remote) === true && state === ESTABLISHED && inode !== undefined && inodes.has(inode);
      }).length;
  } catch {
    return 0;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
