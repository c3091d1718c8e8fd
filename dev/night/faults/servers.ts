import { SERVER_NAMES, type ServerName } from '../../../src/settings/server-name.js';
import { away, persist, seconds, type Fault, type Scene } from '../fault.js';

const CRASH: Readonly<Record<ServerName, readonly [NodeJS.Signals, ...NodeJS.Signals[]]>> = {
  // SIGQUIT is the immediate stop, SIGINT the one that ends sessions.
  postgres: ['SIGKILL', 'SIGQUIT', 'SIGINT'],
  kafka: ['SIGKILL', 'SIGTERM'],
  clickhouse: ['SIGKILL', 'SIGTERM'],
  temporal: ['SIGKILL', 'SIGTERM'],
};

const serverFaults = SERVER_NAMES.map((server): Fault => ({
  name: `end-${server}`,
  summary: `a kill or a stop of ${server}, and a start`,
  track: 'machines',
  draw(scene, random) {
    const signal = random.pick(CRASH[server]);
    const gone = seconds(random, 1, 20);
    return {
      title: `${signal} of ${server}, gone for ${gone} s`,
      async run() {
        const { stack } = scene.ground;
        await stack.kill(server, signal);
        await away(scene, gone);
        await persist(() => stack.start(server));
        if (server === 'postgres' || server === 'kafka') await renewDebezium(scene);
      },
    };
  },
}));

const endRegistry: Fault = {
  name: 'end-registry',
  summary: 'a stop of the schema registry, and a start',
  track: 'machines',
  draw(scene, random) {
    const gone = seconds(random, 1, 20);
    return {
      title: `the schema registry is gone for ${gone} s`,
      async run() {
        await scene.ground.stopRegistry();
        await away(scene, gone);
        await persist(() => scene.ground.startRegistry());
      },
    };
  },
};

const killDebezium: Fault = {
  name: 'kill-debezium',
  summary: 'kill -9 of Debezium, and a start',
  track: 'machines',
  draw: (scene) =>
    scene.ground.debezium === undefined
      ? undefined
      : { title: 'kill -9 of Debezium, and a start', run: () => renewDebezium(scene) },
};

/** Its task does not outlive every absence of a server; who runs it starts it again. */
async function renewDebezium({ ground }: Scene): Promise<void> {
  const { debezium } = ground;
  if (debezium === undefined) return;
  await debezium.kill();
  await persist(async () => {
    const pg = await ground.connect();
    // PostgreSQL notices that a reader is gone when it next sends to it.
    await pg.query(
      /* sql */ `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active`,
      [debezium.name],
    );
    await pg.end();
  });
  await debezium.start();
}

export const SERVER_FAULTS: readonly Fault[] = [...serverFaults, endRegistry, killDebezium];
