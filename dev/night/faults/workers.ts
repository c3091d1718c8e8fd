import type { Random } from '../../demo/random.js';
import { away, persist, seconds, type Fault, type Scene } from '../fault.js';
import type { NightWorker } from '../worker.js';

/** Mostly one, so that the other takes over. */
function someWorkers({ ground: { workers } }: Scene, random: Random): readonly NightWorker[] {
  if (random.below(4) === 0) return workers;
  const worker = workers[random.below(workers.length)];
  return worker === undefined ? [] : [worker];
}

const named = (workers: readonly NightWorker[]): string => workers.map(({ name }) => name).join(' and ');

const killWorker: Fault = {
  name: 'kill-worker',
  summary: 'kill -9 of a worker or of both, and a start',
  track: 'machines',
  draw(scene, random) {
    const workers = someWorkers(scene, random);
    const gone = random.below(10);
    return {
      title: `kill -9 of ${named(workers)}, gone for ${gone} s`,
      async run() {
        await Promise.all(workers.map(({ process }) => process.kill()));
        await away(scene, gone);
        await Promise.all(workers.map(({ process }) => process.start()));
      },
    };
  },
};

const stopWorker: Fault = {
  name: 'stop-worker',
  summary: 'SIGTERM, as a deployment does, and a start',
  track: 'machines',
  draw(scene, random) {
    const workers = someWorkers(scene, random);
    return {
      title: `SIGTERM of ${named(workers)}, and a start`,
      async run() {
        await Promise.all(workers.map(({ process }) => process.stop()));
        await Promise.all(workers.map(({ process }) => process.start()));
      },
    };
  },
};

/** The heartbeat timeout is 10 s. */
const freezeWorker: Fault = {
  name: 'freeze-worker',
  summary: 'SIGSTOP for longer than a heartbeat, and SIGCONT',
  track: 'machines',
  draw(scene, random) {
    const workers = someWorkers(scene, random);
    const frozen = seconds(random, 12, 25);
    return {
      title: `SIGSTOP of ${named(workers)} for ${frozen} s`,
      async run() {
        const pids = workers.map(({ process: { pid } }) => pid).filter((pid) => pid !== undefined);
        for (const pid of pids) process.kill(pid, 'SIGSTOP');
        await away(scene, frozen);
        for (const pid of pids) process.kill(pid, 'SIGCONT');
      },
    };
  },
};

const endSessions: Fault = {
  name: 'end-sessions',
  summary: 'pg_terminate_backend of all sessions of pg2click',
  track: 'machines',
  draw: ({ ground }) => ({
    title: 'pg_terminate_backend of all sessions of pg2click',
    run: () =>
      persist(async () => {
        const pg = await ground.connect();
        await pg.query(
          /* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'pg2click' and pid <> pg_backend_pid()`,
        );
        await pg.end();
      }),
  }),
};

export const WORKER_FAULTS: readonly Fault[] = [killWorker, stopWorker, freezeWorker, endSessions];
