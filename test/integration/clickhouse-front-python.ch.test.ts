import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainRequest, startFront, type TestFront } from '../support/clickhouse-front.js';
import { pythonFor, type Python } from '../support/program.js';

let front: TestFront;
let python: Python;

beforeAll(async () => {
  front = await startFront();
  python = await pythonFor('recipe');
});

afterAll(async () => front.dispose());

describe("Python's clickhouse-connect", () => {
  it('connects, inserts and queries, with every compression that it sends', async () => {
    const { hostname, port } = new URL(front.url);
    const program = python.start('test/fixtures/insert_and_query.py', {
      CH_HOST: hostname,
      CH_PORT: port,
      CH_USER: 'default',
      CH_PASSWORD: front.password,
    });
    await program.end();
    const right = {
      written: 20_000,
      same: true,
      bound: [['row 7 Größe', String(2n ** 127n + 7n)]],
      streamed: 20_000,
      raw: 'raw',
      'in session': 2,
      error: expect.anything() as unknown,
      version: expect.stringMatching(/^\d+\.\d+/u) as unknown,
    };
    expect(program.lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { compress: true, encoding: 'lz4', ...right },
      { compress: 'lz4', encoding: 'lz4', ...right },
      { compress: 'zstd', encoding: 'zstd', ...right },
      { compress: 'gzip', encoding: 'gzip', ...right },
      { compress: false, encoding: null, ...right },
    ]);
  });
});

describe('a body that only the engine can decompress', () => {
  const address = (): string => `${front.url}/?user=default&password=${front.password}`;
  const post = (query: string, headers: Record<string, string> = {}) =>
    plainRequest(address(), { headers, body: query });

  // A frame with a query and two rows, and one with the third row: clickhouse-connect makes each block a frame of its own.
  it.each([
    [
      'lz4',
      '04224d1868402700000000000000b327000080696e7365727420696e746f206672616d6573202869642920666f726d6174205453560a310a' +
        '320a0000000004224d1868400200000000000000a002000080330a00000000',
    ],
    [
      'zstd',
      '28b52ffd2027390100696e7365727420696e746f206672616d6573202869642920666f726d6174205453560a310a320a28b52ffd20021100' +
        '00330a',
    ],
  ])('in %s may be several frames, with the query in the first', async (encoding, frames) => {
    await post('create or replace table frames (id UInt8) engine = MergeTree order by id');
    const answer = await plainRequest(address(), {
      headers: { 'Content-Encoding': encoding },
      body: Buffer.from(frames, 'hex'),
    });
    expect(answer.status).toBe(200);
    expect((await post('select sum(id), count() from frames')).body.toString('utf8')).toBe('6\t3\n');
  });

  it.each(['lz4', 'zstd'])('and that is not %s is refused; nothing of it stays in the spool', async (encoding) => {
    const { status, body } = await post('not a frame', { 'Content-Encoding': encoding });
    expect(status).toBe(500);
    expect(body.toString('utf8')).toContain('_DECODER_FAILED');
    const left = readdirSync(join(front.directory, 'spool')).filter((name) => !name.startsWith('pipe-'));
    expect(left).toEqual([]);
  });

  it('is refused by name in an encoding that nobody here knows', async () => {
    const { status, body } = await post('select 1', { 'Content-Encoding': 'snappy' });
    expect(status).toBe(501);
    expect(body.toString('utf8')).toContain('use lz4, zstd, gzip, deflate or br');
  });
});
