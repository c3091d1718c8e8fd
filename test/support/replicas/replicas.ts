import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import type { StackAddresses } from '../../../dev/stack/stack.js';
import { startFront, type TestFront } from '../clickhouse-front.js';
import { CLUSTER, openBalancer, type Balancer } from './balancer.js';
import { copyEngine } from './engine-copy.js';
import { openPartExchange, type PartExchange } from './part-exchange.js';
import { openZooKeeper, type ZooKeeper } from './zookeeper.js';

/** A ClickHouse of its own. */
export interface Replica {
  readonly name: string;
  readonly client: ClickHouseClient;
  readonly port: number;
  kill(): Promise<void>;
  /** On another port. */
  start(): Promise<void>;
}

/** Two replicas of real ClickHouse engines over one ZooKeeper, behind a balancer. */
export interface Replicas {
  readonly one: Replica;
  readonly two: Replica;
  readonly zookeeper: ZooKeeper;
  readonly exchange: PartExchange;
  readonly balancer: Balancer;
  /** The balancer's. */
  readonly address: StackAddresses['clickhouse'];
  /** Runs a statement on both. */
  onBoth(query: string): Promise<void>;
  close(): Promise<void>;
}

/** @param database made on both */
export async function openReplicas(database: string): Promise<Replicas> {
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-replicas-'));
  const replicas: FrontReplica[] = [];
  const exchange = await openPartExchange(async (path, part) => {
    const replica = replicas.find(({ name }) => path.endsWith(`/${name}`));
    return replica?.folderOf(path, part);
  });
  const zookeeper = await openZooKeeper(join(directory, 'zookeeper'));
  await zookeeper.start();
  const library = await copyEngine(join(directory, 'library'), exchange.port);
  for (const name of ['one', 'two']) replicas.push(new FrontReplica(directory, name, { library, zookeeper }));
  const [one, two] = replicas as [FrontReplica, FrontReplica];
  await Promise.all([one.start(), two.start()]);
  const balancer = await openBalancer([one.port, two.port]);
  const onBoth = async (query: string): Promise<void> => {
    for (const { client } of replicas) await client.command({ query });
  };
  await onBoth(/* sql */ `create database ${database}`);
  return {
    one,
    two,
    zookeeper,
    exchange,
    balancer,
    address: { url: `http://127.0.0.1:${balancer.port}`, user: 'default', password: one.password, database },
    onBoth,
    async close() {
      await balancer.close();
      await Promise.all(replicas.map(async (replica) => replica.dispose()));
      await zookeeper.kill();
      await exchange.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

class FrontReplica implements Replica {
  readonly name: string;
  readonly #directory: string;
  readonly #config: string;
  readonly #library: string;
  #front: TestFront | undefined;
  #client: ClickHouseClient | undefined;

  constructor(
    directory: string,
    name: string,
    { library, zookeeper }: { readonly library: string; readonly zookeeper: ZooKeeper },
  ) {
    this.name = name;
    this.#library = library;
    this.#directory = join(directory, name);
    this.#config = join(directory, `${name}.xml`);
    mkdirSync(this.#directory);
    writeFileSync(
      this.#config,
      `<clickhouse>
  <logger><level>information</level><log>${join(directory, `${name}.log`)}</log></logger>
  <zookeeper>
    <node><host>127.0.0.1</host><port>${zookeeper.port}</port></node>
    <session_timeout_ms>10000</session_timeout_ms>
    <sessions_path>/clickhouse/sessions/${name}</sessions_path>
  </zookeeper>
  <macros><replica>${name}</replica></macros>
  <default_replica_path>/clickhouse/{uuid}</default_replica_path>
  <default_replica_name>{replica}</default_replica_name>
  <remote_servers>
    <${CLUSTER}><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></${CLUSTER}>
  </remote_servers>
</clickhouse>
`,
    );
  }

  get client(): ClickHouseClient {
    if (this.#client === undefined) throw new Error(`replica ${this.name} does not run`);
    return this.#client;
  }

  get port(): number {
    return Number(new URL(this.#running.url).port);
  }

  get password(): string {
    return this.#running.password;
  }

  async start(): Promise<void> {
    this.#front = await startFront({
      directory: this.#directory,
      args: ['--config', this.#config],
      env: { LD_LIBRARY_PATH: this.#library },
    });
    this.#client = this.#front.client();
  }

  async kill(): Promise<void> {
    await this.#running.end('SIGKILL');
  }

  async folderOf(replicaPath: string, part: string): Promise<string | undefined> {
    const answer = await this.client.query({
      query: /* sql */ `
        select path from system.parts
        where name = {part:String} and (database, table) in
          (select database, table from system.replicas where replica_path = {replicaPath:String})`,
      query_params: { part, replicaPath },
      format: 'JSONEachRow',
    });
    return (await answer.json<{ path: string }>())[0]?.path;
  }

  async dispose(): Promise<void> {
    await this.#front?.dispose();
  }

  get #running(): TestFront {
    if (this.#front === undefined) throw new Error(`replica ${this.name} was not started`);
    return this.#front;
  }
}
