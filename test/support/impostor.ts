import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { KeyPair } from '../../dev/stack/certificates.js';

/** A port of 127.0.0.1 where somebody shows a certificate and has nothing else to say. */
export interface Impostor {
  readonly port: number;
  close(): void;
}

/** Begins with PostgreSQL's answer to its `SSLRequest` where that is what comes first. */
export async function openImpostor(certificate: KeyPair): Promise<Impostor> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      if (first.length === 8 && first[4] === 0x04) socket.write('S');
      else socket.unshift(first);
      const secure = new TLSSocket(socket, { isServer: true, cert: certificate.cert, key: certificate.key });
      secure.on('error', () => undefined);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
