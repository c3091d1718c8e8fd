import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { cached } from '../../../dev/stack/cache.js';
import { runTool } from '../../../dev/stack/tool.js';
import { packageRoot } from '../../../src/package-root.js';
import { waitFor } from '../wait-for.js';
import { freePort } from '../worker-endpoints.js';

const POM = join(packageRoot, 'test', 'support', 'replicas', 'zookeeper-pom.xml');

/** A ZooKeeper of one server, from Maven. */
export interface ZooKeeper {
  readonly port: number;
  start(): Promise<void>;
  /** Kills it; what it has acknowledged is on its disk. */
  kill(): Promise<void>;
}

/** @throws Error one sentence: Java or Maven is missing, or Maven fails */
export async function openZooKeeper(directory: string): Promise<ZooKeeper> {
  const libraries = await download();
  const port = await freePort();
  mkdirSync(directory, { recursive: true });
  const config = join(directory, 'zoo.cfg');
  // Sessions last 2 to 20 ticks.
  writeFileSync(
    config,
    `tickTime=500\ndataDir=${directory}\nclientPort=${port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n`,
  );
  const start = () =>
    spawn(
      'java',
      [
        '-Xmx128m',
        '-XX:+UseSerialGC',
        '-cp',
        join(libraries, '*'),
        'org.apache.zookeeper.server.quorum.QuorumPeerMain',
        config,
      ],
      { cwd: directory, stdio: 'ignore' },
    );
  let server: ReturnType<typeof start> | undefined;
  const kill = async (): Promise<void> => {
    const running = server;
    server = undefined;
    if (running === undefined) return;
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  };
  return {
    port,
    async start() {
      server = start();
      process.once('exit', () => void server?.kill('SIGKILL'));
      await waitFor(
        async () => {
          const socket = connect(port, '127.0.0.1');
          await once(socket, 'connect');
          socket.destroy();
          return true;
        },
        { deadlineMs: 30_000, what: 'ZooKeeper listens', everyMs: 100 },
      );
    },
    kill,
  };
}

async function download(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 12);
  return cached(`zookeeper-${hash}`, async (directory) => {
    const args = ['--batch-mode', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${directory}`];
    const { code, tail } = await runTool({ command: 'mvn', args, cwd: directory });
    if (code !== 0)
      throw new Error(`Maven could not download ZooKeeper: ${tail.findLast((line) => line.startsWith('[ERROR]'))}`);
  });
}
