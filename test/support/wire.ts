import { createServer, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createClient, ClickHouseLogLevel } from '@clickhouse/client';
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { afterAll } from 'vitest';
import { addressOf } from './stack.js';
import type { TestSink } from './sink.js';

export interface WireRequest {
  readonly query: string;
  readonly parameters: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  bytes: number;
  chunks: number;
}

/** What happens to the next insert. Everything else passes. */
export type Accident =
  | { readonly kind: 'cut-request'; readonly afterBytes: number }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'stall' }
  | { readonly kind: 'answer'; readonly respond: (request: IncomingMessage, response: ServerResponse) => void };

/** The wire between client and server: it notes what passes, and can be cut. */
export interface Wire {
  readonly ch: ClickHouseClient;
  readonly inserts: WireRequest[];
  next: Accident | undefined;
}

/** A client whose requests pass through a wire of ours, with settings of the connection that an insert may override. */
export async function openWire(sink: TestSink, settings: ClickHouseSettings = {}): Promise<Wire> {
  const { url, user, password, ssl } = addressOf('clickhouse');
  const inserts: WireRequest[] = [];
  const server = createServer((request, response) => {
    const parameters = new URL(request.url ?? '/', url).searchParams;
    const query = parameters.get('query') ?? '';
    const isInsert = query.trimStart().startsWith('insert');
    const seen: WireRequest = { query, parameters, headers: request.headers, bytes: 0, chunks: 0 };
    const accident = isInsert ? wire.next : undefined;
    if (isInsert) {
      wire.next = undefined;
      inserts.push(seen);
    }
    if (accident?.kind === 'answer') return accident.respond(request, response);
    if (accident?.kind === 'stall') return;
    const onward = { method: request.method, headers: request.headers };
    const target = new URL(request.url ?? '/', url);
    const upstream = ssl === undefined ? httpRequest(target, onward) : httpsRequest(target, { ...onward, ca: ssl.ca });
    upstream.on('error', () => response.destroy());
    upstream.on('response', (answer) => {
      if (accident?.kind === 'lose-answer') return void answer.resume().on('end', () => response.destroy());
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.on('data', (chunk: Buffer) => {
      seen.bytes += chunk.length;
      seen.chunks += 1;
      if (accident?.kind !== 'cut-request' || seen.bytes < accident.afterBytes) return;
      upstream.destroy();
      request.destroy();
    });
    request.on('close', () => {
      if (!request.complete) upstream.destroy();
    });
    request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ch = createClient({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    database: sink.database,
    username: user,
    password,
    request_timeout: 300_000,
    clickhouse_settings: settings,
    log: { level: ClickHouseLogLevel.OFF },
  });
  afterAll(async () => {
    await ch.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const wire: Wire = { ch, inserts, next: undefined };
  return wire;
}
