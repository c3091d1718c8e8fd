import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority, makeCertificate } from '../../dev/stack/certificates.js';
import { CopyOut, copyOut } from '../../src/source/copy/copy-out.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource } from '../support/source-table.js';
import { waitFor } from '../support/wait-for.js';

const MB = 1024 * 1024;
const series = (rows: number, value = 'i'): string =>
  `copy (select ${value} from generate_series(1, ${rows}) i) to stdout`;
const numbers = (rows: number): string => Array.from({ length: rows }, (_, index) => `${index + 1}\n`).join('');

describe('COPY as a stream', async () => {
  const address = await freshDatabase('copy_out');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
  });
  afterAll(() => client.end());

  const answers = async (): Promise<void> =>
    expect((await client.query(`select 'still there' as is`)).rows).toEqual([{ is: 'still there' }]);

  it('gives every byte, and counts the rows', async () => {
    const stream = copyOut(client, series(100_000));
    expect(await text(stream)).toBe(numbers(100_000));
    expect(stream.rows).toBe(100_000);
    await answers();
  });

  it('has no rows where there are none', async () => {
    const stream = copyOut(client, series(0));
    expect(await text(stream)).toBe('');
    expect(stream.rows).toBe(0);
  });

  it('gives rows of nothing: 300,000 of one byte', async () => {
    const stream = copyOut(client, series(300_000, `''`));
    expect(await text(stream)).toBe('\n'.repeat(300_000));
    expect(stream.rows).toBe(300_000);
  });

  it('gives a row of 100 MB in pieces, and holds little of it', async () => {
    const stream = copyOut(client, `copy (select repeat('0123456789', 10485760)) to stdout`);
    let bytes = 0;
    let held = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      held = Math.max(held, chunk.length + stream.readableLength);
    }
    expect(bytes).toBe(100 * MB + 1);
    expect(stream.rows).toBe(1);
    expect(held).toBeLessThan(MB);
    await answers();
  });

  it('waits for who reads it: the server is held up, and nothing piles up here', async () => {
    const stream = copyOut(client, series(200_000, `repeat('x', 1000)`));
    await once(stream, 'readable');
    const own = await connectSource(address);
    await waitFor(
      async (see) => {
        const found = await own.query<{ wait: string }>(
          `select wait_event as wait from pg_stat_activity where query like '%repeat(''x'', 1000)%' and pid != pg_backend_pid()`,
        );
        see(found.rows);
        return found.rows[0]?.wait === 'ClientWrite';
      },
      { what: 'PostgreSQL that waits for its client', deadlineMs: 10_000 },
    );
    await own.end();
    expect(stream.readableLength).toBeLessThan(MB);
    expect((await buffer(stream)).length).toBe(200_000 * 1_001);
    await answers();
  });

  it('fails with the error of PostgreSQL that comes after rows, and the connection goes on', async () => {
    const stream = copyOut(client, series(50_000, `1 / (40000 - i), repeat('x', 100)`));
    await expect(buffer(stream)).rejects.toMatchObject({ code: '22012', message: 'division by zero' });
    await answers();
    await expect(text(copyOut(client, 'copy missing to stdout'))).rejects.toMatchObject({ code: '42P01' });
    await answers();
  });

  it('leaves a failed transaction to who began it', async () => {
    await client.query('begin');
    await expect(text(copyOut(client, series(10, '1 / (5 - i)')))).rejects.toMatchObject({ code: '22012' });
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('rollback');
    await answers();
  });

  it('may follow another on the same connection, and wait for its turn', async () => {
    const streams = [1, 2, 3].map((rows) => copyOut(client, series(rows * 1_000)));
    const between = client.query('select 4 as four');
    expect(await Promise.all(streams.map((stream) => text(stream)))).toEqual(
      [1, 2, 3].map((rows) => numbers(rows * 1_000)),
    );
    expect((await between).rows).toEqual([{ four: 4 }]);
  });

  it('lets notices and changed settings through to the connection', async () => {
    await client.query(`create function pg_temp.say(n int) returns int language plpgsql as $$
      begin if n % 1000 = 0 then raise notice 'row %', n; perform set_config('application_name', 'at ' || n, false); end if; return n; end $$`);
    const heard: (string | undefined)[] = [];
    const listen = ({ message }: { message?: string | undefined }): unknown => heard.push(message);
    client.on('notice', listen);
    expect(await text(copyOut(client, series(3_000, 'pg_temp.say(i)')))).toBe(numbers(3_000));
    client.off('notice', listen);
    expect(heard).toEqual(['row 1000', 'row 2000', 'row 3000']);
    await answers();
  });

  it('lets notifications through that arrive in the middle and at its end', async () => {
    const own = await connectSource(address);
    const heard: (string | undefined)[] = [];
    own.on('notification', ({ payload }) => heard.push(payload));
    await own.query('listen here');
    const stream = copyOut(own, series(100_000, `repeat('x', 200)`));
    await once(stream, 'readable');
    await client.query(`select pg_notify('here', i::text) from generate_series(1, 500) i`);
    expect((await buffer(stream)).length).toBe(100_000 * 201);
    await own.query('select 1');
    expect(heard).toHaveLength(500);
    await own.end();
  });

  it('ends with the connection: with an error, never as if it were complete', async () => {
    const own = await connectSource(address);
    const { rows } = await own.query<{ pid: number }>('select pg_backend_pid() as pid');
    const stream = copyOut(own, series(1_000_000, `repeat('x', 200)`));
    const failed = expect(buffer(stream)).rejects.toThrow(/terminat/u);
    await once(stream, 'data');
    await client.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await failed;
    await own.end();
  });

  it('stops at the signal, and the connection can be ended, which ends the statement', async () => {
    const own = await connectSource(address);
    const { rows } = await own.query<{ pid: number }>('select pg_backend_pid() as pid');
    const abort = new AbortController();
    const stream = copyOut(own, series(10_000_000, `repeat('x', 200)`), { signal: abort.signal });
    const failed = expect(buffer(stream)).rejects.toMatchObject({ name: 'AbortError' });
    await once(stream, 'data');
    abort.abort();
    await failed;
    await own.end();
    await waitFor(
      async () => (await client.query('select from pg_stat_activity where pid = $1', [rows[0]?.pid])).rowCount === 0,
      { what: 'the end of the statement', deadlineMs: 10_000 },
    );
  });

  it('is not begun where it was given up before its turn, and the connection goes on', async () => {
    await client.query('create temp sequence begun');
    const before = client.query('select pg_sleep(0.05)');
    const stream = copyOut(client, series(10, `nextval('begun')`), { signal: AbortSignal.abort() });
    await expect(text(stream)).rejects.toMatchObject({ name: 'AbortError' });
    await before;
    expect((await client.query('select is_called from begun')).rows).toEqual([{ is_called: false }]);
  });

  it('fails when the connection is ended already', async () => {
    const own = await connectSource(address);
    await own.end();
    await expect(text(copyOut(own, series(10)))).rejects.toThrow(/closed|not queryable/u);
  });

  it('obeys a time limit of the connection, in the middle of its rows too', async () => {
    const own = new pg.Client({ ...address, query_timeout: 500 });
    own.on('error', () => undefined);
    await own.connect();
    expect(await text(copyOut(own, series(10)))).toBe(numbers(10));
    await own.query('select pg_sleep(0.4)');
    await own.query('select pg_sleep(0.4)');
    await expect(buffer(copyOut(own, series(100_000_000)))).rejects.toThrow('Query read timeout');
    await own.end();
  });

  it.skipIf(address.ssl !== undefined)('goes through TLS', async () => {
    const authority = await makeAuthority();
    const certificate = await makeCertificate(authority);
    const door = createServer((socket) => {
      socket.once('readable', () => {
        socket.read();
        socket.write('S');
        const inside = new TLSSocket(socket, { isServer: true, cert: certificate.cert, key: certificate.key });
        const server = connect(address.port, address.host);
        inside.on('error', () => server.destroy());
        server.on('error', () => inside.destroy());
        inside.pipe(server).pipe(inside);
      });
      socket.on('error', () => undefined);
    });
    door.listen(0, '127.0.0.1');
    await once(door, 'listening');
    const own = new pg.Client({ ...address, port: (door.address() as AddressInfo).port, ssl: { ca: authority.cert } });
    await own.connect();
    for (let round = 0; round < 2; round += 1) expect(await text(copyOut(own, series(200_000)))).toBe(numbers(200_000));
    await expect(text(copyOut(own, series(10, '1 / (5 - i)')))).rejects.toMatchObject({ code: '22012' });
    expect((await own.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await own.end();
    door.close();
  });

  it('refuses a connection that something else reads', async () => {
    const own = await connectSource(address);
    const { stream: socket } = (own as unknown as { connection: { stream: NodeJS.ReadableStream } }).connection;
    socket.on('data', () => undefined);
    await expect(text(own.query(new CopyOut(series(10))))).rejects.toThrow('something else reads');
    await own.end();
  });
});
