import { createServer, type AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { connectPostgres } from '../../src/connect/postgres.js';
import { loadSettings } from '../../src/settings/settings.js';

/** Answers each start-up as PgBouncer does in its default configuration: it knows the protocol, and none of our parameters. */
async function poolerPort(): Promise<number> {
  const fields = ['SFATAL', 'VFATAL', 'C08P01', 'Munsupported startup parameter in options: synchronous_commit'];
  const body = Buffer.from(`${fields.map((field) => `${field}\0`).join('')}\0`);
  const header = Buffer.alloc(5);
  header.write('E');
  header.writeInt32BE(body.length + 4, 1);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([header, body])));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

it('a pooler that refuses the settings of a session is called one, with the port to correct', async () => {
  const port = await poolerPort();
  const settings = loadSettings({
    env: { PG_HOST: '127.0.0.1', PG_PORT: String(port) },
    envFile: false,
    stackFile: false,
  });
  await expect(connectPostgres(settings, { name: 'test' })).rejects.toMatchObject({
    kind: 'Misconfigured',
    message: expect.stringMatching(/:\d+ does not take the settings of our sessions: a pooler stands there/u),
    remedy: expect.stringContaining('PG_HOST and PG_PORT'),
  });
});
