import { Client, Connection } from '@temporalio/client';
import kafkajs from 'kafkajs';
import pg from 'pg';
import { expect, test } from 'vitest';
import { readStackFile, type StackAddresses } from '../../dev/stack/stack.js';
import { ownStack, ownStateDir, processesOf } from '../support/own-stack.js';
import type { ServerName } from '../../src/settings/server-name.js';

const SERVER_NAMES = ['postgres', 'kafka', 'clickhouse', 'temporal'] as const;

test('state and addresses survive kill -9 of each server, an immediate stop of PostgreSQL, and a stop of all', async () => {
  const stateDir = ownStateDir();
  const { stack, events } = await ownStack(stateDir, SERVER_NAMES);
  for (const server of SERVER_NAMES) await KEEPSAKES[server].leave(stack.addresses);

  for (const server of SERVER_NAMES) {
    const before = stack.pid(server);
    await stack.kill(server);
    await stack.start(server);
    expect(stack.pid(server)).not.toBe(before);
    expect(await KEEPSAKES[server].find(stack.addresses), `${server} after kill -9`).toBe(1);
  }
  await stack.kill('postgres', 'SIGQUIT');
  await stack.start('postgres');
  expect(await KEEPSAKES.postgres.find(stack.addresses), 'postgres after an immediate stop').toBe(1);
  expect(events.filter((event) => event.kind === 'died')).toEqual([]);

  await stack.stop();
  expect(processesOf(stateDir)).toEqual([]);
  expect(readStackFile(stateDir)).toMatchObject({ children: {} });

  const again = await ownStack(stateDir, SERVER_NAMES);
  expect(again.stack.addresses).toEqual(stack.addresses);
  for (const server of SERVER_NAMES) {
    expect(await KEEPSAKES[server].find(again.stack.addresses), `${server} after a stop and a start`).toBe(1);
  }
});

test('a server that dies unasked is reported, and reset starts it empty at the same address', async () => {
  const stateDir = ownStateDir();
  const first = await ownStack(stateDir, ['postgres']);
  await KEEPSAKES.postgres.leave(first.stack.addresses);
  process.kill(first.stack.pid('postgres') ?? 0, 'SIGKILL');
  await expect
    .poll(() => first.events.filter((event) => event.kind === 'died'), { timeout: 10_000 })
    .toMatchObject([{ server: 'postgres', text: expect.stringContaining('was ended by SIGKILL') as string }]);
  await first.stack.stop();

  const empty = await ownStack(stateDir, ['postgres'], { reset: true });
  expect(empty.stack.addresses).toEqual(first.stack.addresses);
  await expect(KEEPSAKES.postgres.find(empty.stack.addresses)).rejects.toMatchObject({ code: '42P01' }); // undefined_table
});

/** What is left in each server, acknowledged, and how many of it are found later. */
const KEEPSAKES: Readonly<
  Record<ServerName, { leave(to: StackAddresses): Promise<unknown>; find(from: StackAddresses): Promise<number> }>
> = {
  postgres: {
    leave: (to) => sql(to, /* sql */ `create table keepsake as select 1 as id`),
    find: async (from) => (await sql(from, /* sql */ `select id from keepsake`)).length,
  },
  kafka: {
    leave: async ({ kafka }) => {
      const producer = client(kafka).producer();
      await producer.connect();
      await producer.send({ topic: 'keepsake', acks: -1, messages: [{ value: 'one' }] });
      await producer.disconnect();
    },
    find: async ({ kafka }) => {
      const admin = client(kafka).admin();
      await admin.connect();
      const offsets = await admin.fetchTopicOffsets('keepsake');
      await admin.disconnect();
      return Number(offsets[0]?.high);
    },
  },
  clickhouse: {
    leave: async (to) => {
      await clickhouse(to, /* sql */ `create table keepsake (id UInt8) engine = MergeTree order by id`);
      await clickhouse(to, /* sql */ `insert into keepsake values (1)`);
    },
    find: async (from) => Number(await clickhouse(from, /* sql */ `select count() from keepsake`)),
  },
  temporal: {
    leave: (to) =>
      temporal(to, (workflows) =>
        workflows.workflow.start('keepsake', { workflowId: 'keepsake', taskQueue: 'nobody-polls' }),
      ),
    find: (from) =>
      temporal(from, async (workflows) => {
        const { status } = await workflows.workflow.getHandle('keepsake').describe();
        return status.name === 'RUNNING' ? 1 : 0;
      }),
  },
};

async function sql({ postgres }: StackAddresses, statement: string): Promise<readonly unknown[]> {
  const connection = new pg.Client({ ...postgres });
  await connection.connect();
  try {
    return (await connection.query(statement)).rows;
  } finally {
    await connection.end();
  }
}

function client({ bootstrap }: StackAddresses['kafka']): kafkajs.Kafka {
  return new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING });
}

async function clickhouse({ clickhouse: to }: StackAddresses, statement: string): Promise<string> {
  const authorization = `Basic ${Buffer.from(`${to.user}:${to.password}`).toString('base64')}`;
  const response = await fetch(to.url, { method: 'POST', body: statement, headers: { authorization } });
  if (!response.ok) throw new Error(await response.text());
  return response.text();
}

async function temporal<T>({ temporal: to }: StackAddresses, use: (workflows: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: to.address });
  try {
    return await use(new Client({ connection, namespace: to.namespace }));
  } finally {
    await connection.close();
  }
}
