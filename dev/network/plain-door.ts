import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface PlainDoorTarget {
  readonly port: number;
  /** Of the certificate that the server shows. */
  readonly ca: string;
  /** PostgreSQL is asked for TLS before it is spoken. */
  readonly postgres: boolean;
}

/** A port of 127.0.0.1 where a server of TLS is reached without: for a proxy that looks at what goes by. */
export interface PlainDoor {
  readonly port: number;
  close(): Promise<void>;
}

/** The `SSLRequest` of PostgreSQL's protocol. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export async function openPlainDoor(target: PlainDoorTarget): Promise<PlainDoor> {
  const sockets = new Set<Socket>();
  const server = createServer((outside) => {
    void pass(outside, target, sockets).catch(() => outside.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function pass(outside: Socket, target: PlainDoorTarget, sockets: Set<Socket>): Promise<void> {
  outside.on('error', () => undefined); // "close" follows
  const wire = connect(target.port, '127.0.0.1');
  if (target.postgres) {
    wire.write(SSL_REQUEST);
    await once(wire, 'readable');
    wire.read(1);
  }
  const ALPNProtocols = target.postgres ? ['postgresql'] : ['h2', 'http/1.1'];
  const inside = connectTls({ socket: wire, ca: target.ca, servername: 'localhost', ALPNProtocols });
  for (const [one, other] of [
    [outside, inside],
    [inside, outside],
  ] as const) {
    sockets.add(one);
    one.setNoDelay(true);
    one.on('error', () => other.destroy());
    one.on('close', () => {
      sockets.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }
}
