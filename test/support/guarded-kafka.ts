import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { endProcess } from '../../dev/stack/child.js';
import { kafkaServer } from '../../dev/stack/kafka.js';
import { launchServer } from '../../dev/stack/launch.js';
import type { ServerContext, Server } from '../../dev/stack/server.js';
import { choosePorts } from '../../dev/stack/port.js';

export interface GuardedKafka {
  readonly bootstrap: string;
  stop(): Promise<void>;
}

/**
 * A broker of its own with an authorizer: whoever logs in (SASL/PLAIN, over plain text) may do what ACLs allow, and `admin`
 * everything. The broker speaks to itself over a listener without a login.
 * @param users password by name
 */
export async function startGuardedKafka(
  directory: string,
  users: Readonly<Record<'admin', string> & Record<string, string>>,
): Promise<GuardedKafka> {
  const ports = await choosePorts({}, {});
  // A port of a server that is not started here.
  const own = ports.postgres;
  const context: ServerContext = {
    directory: join(directory, 'kafka'),
    ports,
    secrets: { postgres: 'unused', kafka: 'unused', clickhouse: 'unused' },
    tls: undefined,
    signal: new AbortController().signal,
    step: () => undefined,
    note: () => undefined,
  };
  const logins = Object.entries(users).map(([user, password]) => `user_${user}="${password}"`);
  const server: Server<'kafka'> = {
    ...kafkaServer,
    async prepare(given) {
      const launch = await kafkaServer.prepare(given);
      // Of two lines for one name the later one counts.
      appendFileSync(
        join(given.directory, 'server.properties'),
        `
listeners=SASL_PLAINTEXT://127.0.0.1:${ports.kafka},PLAINTEXT://127.0.0.1:${own},CONTROLLER://127.0.0.1:${ports.kafkaController}
advertised.listeners=SASL_PLAINTEXT://127.0.0.1:${ports.kafka},PLAINTEXT://127.0.0.1:${own}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required ${logins.join(' ')};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
`,
      );
      return launch;
    },
    probe: (given) => kafkaServer.probe({ ...given, ports: { ...ports, kafka: own } }),
  };
  mkdirSync(context.directory, { recursive: true });
  const child = await launchServer(server, context, join(directory, 'kafka.log'), () => undefined);
  return {
    bootstrap: `127.0.0.1:${ports.kafka}`,
    stop: () => endProcess(child.identity, server.stopSignal),
  };
}
