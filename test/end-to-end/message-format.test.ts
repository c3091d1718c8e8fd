import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { packageRoot } from '../../src/package-root.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { readTopic, type ReadMessage } from '../support/read-topic.js';
import { freshName } from '../support/stack.js';

const PAGE = readFileSync(join(packageRoot, 'docs', '13-message-format.md'), 'utf8');

/** What `docs/13-message-format.md` promises to those who read a topic without us. */
describe('a message of a topic', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(async () => {
    await path.close();
  });

  async function follow(options: TableOptions): Promise<Followed> {
    const table = freshName('format');
    await path.source.query(`create type ${table}_state as enum ('new', 'paid');
      create table ${table} (region text, id bigint, small smallint, ok boolean not null, price numeric(10,2), ratio float8,
        single real, day date, at timestamptz, naive timestamp, uid uuid, doc jsonb, raw json, state ${table}_state,
        note varchar(20), primary key (region, id))`);
    const followed = await path.add(table, options);
    await followed.copy();
    await path.source.query(`insert into ${table} values
      ('eu', 9007199254740993, 3, true, 12.5, 0.1, 'NaN', '2026-11-29', '2026-11-29 10:00:00.5+01', '2026-11-29 10:00:00',
        '6f1c1a2e-0000-4000-8000-000000000001', '{"a": [1, "x"]}', '{"a":   1}', 'paid', E'tab\\t"quote" \\\\ Größe'),
      ('us', 2, null, false, null, '-infinity', null, null, null, null, null, null, null, null, null)`);
    await followed.settle();
    await path.source.query(`delete from ${table} where id = 2`);
    await followed.settle();
    await path.source.query(`truncate ${table}`);
    await followed.settle();
    return followed;
  }

  const read = ({ topic }: Followed, count: number): Promise<readonly ReadMessage[]> => readTopic(topic, count);

  it('in json is a row, a tombstone or a TRUNCATE, as the page shows each type and the schema says', async () => {
    const messages = await read(await follow({ format: 'json' }), 4);
    const origin = (await path.deps.deployment()).id;
    const version = (seq: bigint): string => String((1n << 120n) + (seq << 64n) + 1n);
    const first = 1n + 1n; // the copy has drawn the first position
    expect(messages).toEqual([
      {
        partition: 0,
        key: '["eu",9007199254740993]',
        value: `{"region":"eu","id":9007199254740993,"small":3,"ok":true,"price":"12.50","ratio":0.1,"single":"NaN",\
"day":"2026-11-29","at":"2026-11-29 09:00:00.5+00","naive":"2026-11-29 10:00:00","uid":"6f1c1a2e-0000-4000-8000-000000000001",\
"doc":"{\\"a\\": [1, \\"x\\"]}","raw":"{\\"a\\":   1}","state":"paid","note":"tab\\t\\"quote\\" \\\\ Größe",\
"_version":"${version(first)}","_deleted":0}`,
        headers: { pg2click: `2/${origin}/1/1/1/0/1/${first}` },
      },
      {
        partition: 0,
        key: '["us",2]',
        value: `{"region":"us","id":2,"small":null,"ok":false,"price":null,"ratio":"-Infinity","single":null,"day":null,\
"at":null,"naive":null,"uid":null,"doc":null,"raw":null,"state":null,"note":null,"_version":"${version(first + 1n)}","_deleted":0}`,
        headers: { pg2click: `2/${origin}/1/1/1/1/1/${first + 1n}` },
      },
      {
        partition: 0,
        key: '["us",2]',
        value: `{"region":"us","id":2,"_version":"${version(first + 2n)}","_deleted":1}`,
        headers: { pg2click: `2/${origin}/1/1/2/0/1/${first + 2n}` },
      },
      {
        partition: 0,
        key: null,
        value: `{"_version":"${version(first + 3n)}"}`,
        headers: { pg2click: `2/${origin}/1/1/3/0/0/${first + 3n}/truncate` },
      },
    ]);
    const schema = z.fromJSONSchema(
      JSON.parse(/```json\n([\s\S]*?)```/u.exec(PAGE)?.[1] ?? '') as z.core.JSONSchema.JSONSchema,
    );
    for (const { value } of messages)
      expect(schema.safeParse(JSON.parse(value ?? '')), value ?? '').toMatchObject({ success: true });
    expect(schema.safeParse({ id: 1, _version: 1, _deleted: 0 }).success).toBe(false);
  });

  it('with the key alone has no more than the key and the version, of a row that is there and of one that is gone', async () => {
    const messages = await read(await follow({ payload: 'key' }), 4);
    const { id } = await path.deps.deployment();
    const seen = messages.map(({ key, value, headers }) => [key, value, headers['pg2click']]);
    const version = (seq: bigint): string => String((1n << 120n) + (seq << 64n) + 1n);
    expect(seen).toEqual([
      [
        '["eu",9007199254740993]',
        `{"region":"eu","id":9007199254740993,"_version":"${version(2n)}"}`,
        `2/${id}/1/1/1/0/1/2/key`,
      ],
      ['["us",2]', `{"region":"us","id":2,"_version":"${version(3n)}"}`, `2/${id}/1/1/1/1/1/3/key`],
      ['["us",2]', `{"region":"us","id":2,"_version":"${version(4n)}"}`, `2/${id}/1/1/2/0/1/4/key`],
      [null, `{"_version":"${version(5n)}"}`, `2/${id}/1/1/3/0/0/5/truncate`],
    ]);
  });

  it('in packed is COPY text of all columns, which a header names', async () => {
    const [rows, tombstone, truncate] = await read(await follow({ format: 'packed' }), 3);
    const columns = JSON.parse(rows?.headers['pg2click-columns'] ?? '') as string[];
    expect(columns.slice(-2)).toEqual(['_version', '_deleted']);
    expect(rows?.key).toBeNull();
    const lines = rows?.value?.split('\n').map((line) => line.split('\t')) ?? [];
    expect(lines.map((line) => line.length)).toEqual([columns.length, columns.length]);
    const field = (line: readonly string[] | undefined, name: string) => line?.[columns.indexOf(name)];
    expect(field(lines[0], 'note')).toBe('tab\\t"quote" \\\\ Größe');
    expect(field(lines[1], 'note')).toBe('\\N');
    const deleted = tombstone?.value?.split('\t');
    expect([field(deleted, 'region'), field(deleted, 'id'), field(deleted, '_deleted')]).toEqual(['us', '2', '1']);
    expect([field(deleted, 'ok'), field(deleted, 'note')]).toEqual(['f', '\\N']);
    expect(truncate?.headers['pg2click']).toMatch(/\/truncate$/u);
    expect(JSON.parse(truncate?.value ?? '')).toEqual({ _version: expect.stringMatching(/^\d+$/u) as string });
  });
});
