import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

/** One address before several ClickHouse servers: each request goes to the next of them. */
export interface Balancer {
  readonly port: number;
  /** From now on only to these ports of this host. */
  use(ports: readonly number[]): void;
  close(): Promise<void>;
}

/** As `--cluster` names it. */
export const CLUSTER = 'two';
const ON_CLUSTER = ` on cluster \`${CLUSTER}\``;

/**
 * A statement `on cluster` goes to every one in use, a table with the same UUID: the engine of `chdb` has no thread that would carry one
 * to the others.
 */
export async function openBalancer(ports: readonly number[]): Promise<Balancer> {
  let targets = ports;
  let next = 0;
  const serve = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const port = targets[next++ % targets.length];
    if (port === undefined) throw new Error('the balancer has no server');
    // An insert has its query in the URL, and its body is streamed.
    if (/[?&]query=/u.test(asked.url ?? '')) return forward(asked, answer, port);
    const body = await buffer(asked);
    if (!body.includes(ON_CLUSTER)) return forward(asked, answer, port, body);
    const statement = body
      .toString()
      .replace(ON_CLUSTER, body.includes('create table') ? ` uuid '${randomUUID()}'` : '');
    for (const other of targets.filter((each) => each !== port))
      await forward(asked, undefined, other, Buffer.from(statement));
    await forward(asked, answer, port, Buffer.from(statement));
  };
  const server = createServer((asked, answer) => {
    // The client sees a server that is down as a connection that is cut.
    serve(asked, answer).catch(() => answer.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    use(wanted) {
      targets = wanted;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/**
 * @param answer undefined: the answer is only awaited
 * @param body undefined: what is asked is streamed
 */
async function forward(
  asked: IncomingMessage,
  answer: ServerResponse | undefined,
  port: number,
  body?: Buffer,
): Promise<void> {
  const headers = { ...asked.headers, ...(body === undefined ? {} : { 'content-length': String(body.length) }) };
  if (body !== undefined) delete headers['transfer-encoding'];
  const inside = request({ host: '127.0.0.1', port, method: asked.method, path: asked.url, headers });
  if (body === undefined) asked.pipe(inside);
  else inside.end(body);
  // A client that goes away cancels its query.
  answer?.once('close', () => inside.destroy());
  const [response] = (await once(inside, 'response')) as [IncomingMessage];
  if (answer === undefined) {
    const text = await buffer(response);
    if (response.statusCode !== 200) throw new Error(text.toString());
    return;
  }
  answer.writeHead(response.statusCode ?? 502, response.headers);
  await pipeline(response, answer);
}
