import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { Closable } from './server.js';

export interface TlsProxyOptions {
  /** Ports on 127.0.0.1: where TLS comes in, and where it goes on without. */
  readonly from: number;
  readonly to: number;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

/** Serves TLS for a server that cannot: what comes out of it is passed on as it is, HTTP/2 included. */
export async function startTlsProxy({ from, to, cert, key }: TlsProxyOptions): Promise<Closable> {
  const sockets = new Set<Socket>();
  const server = createServer({ cert, key, ALPNProtocols: ['h2', 'http/1.1'] }, (inside) => {
    const behind = connect({ port: to, host: '127.0.0.1', noDelay: true });
    inside.setNoDelay(true);
    for (const [one, other] of [
      [inside, behind],
      [behind, inside],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  server.on('tlsClientError', () => undefined); // a client that does not trust us, or speaks no TLS, is told by TLS itself
  server.listen(from, '127.0.0.1');
  await once(server, 'listening');
  return {
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
