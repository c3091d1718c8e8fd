import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { ensureTopic, withAdmin } from '../../src/topic/admin.js';
import { environmentOf } from '../support/clients.js';
import { connectTestKafka } from '../support/kafka.js';
import { openPath, type Path } from '../support/path.js';
import { pythonFor, startProgram, type Program, type Python } from '../support/program.js';
import { addressOf, freshName, waitFor } from '../support/stack.js';

type Row = Readonly<Record<string, unknown>>;

/** The consumers of `docs/13-message-format.md`, on a topic that pg2click has filled. */
describe('a consumer of the topic', () => {
  let path: Path;
  let python: Python;
  const kafka = connectTestKafka();
  const programs: Program[] = [];
  beforeAll(async () => {
    path = await openPath();
    python = await pythonFor('consumer');
  });
  afterAll(async () => {
    await path.close();
    await Promise.all(programs.map((program) => program.stop()));
  });

  /** @returns the topic of a table with all that a consumer must get right, and the rows that are left */
  async function fill(partitions: number): Promise<{ topic: string; expected: readonly Row[] }> {
    const [table, topic] = [freshName('watched'), freshName('watched')];
    await withAdmin(kafka, (admin) => ensureTopic(admin, { topic, partitions, retentionMs: 3_600_000 }));
    const create = `create table ${table} (region text, id bigint, name text, price numeric(10,2), at timestamptz,
      primary key (region, id))`;
    await path.source.query(create);
    const first = await path.add(table, { topic });
    await first.copy();
    await path.source.query(
      `insert into ${table} select 'old', i, 'of an older life', 0 from generate_series(1, 30) i`,
    );
    await first.settle();
    await first.remove();
    await path.source.query(`delete from ${table}`);
    const followed = await path.add(table, { topic });
    await followed.copy();
    await path.source.query(`insert into ${table} select 'r' || i % 3, i, 'first', 1 from generate_series(301, 400) i`);
    await followed.settle();
    // With one partition the rows of the first life must go because of their generation alone.
    await path.source.query(partitions > 1 ? `truncate ${table}` : `delete from ${table}`);
    await path.source.query(
      `insert into ${table} select 'r' || i % 3, i, null, i / 3.0, now() from generate_series(1, 200) i`,
    );
    await followed.publish();
    await path.source.query(`update ${table} set name = E'tab\\t "quote" \\\\ Größe', price = 7 where id % 10 = 0`);
    await path.source.query(`update ${table} set region = 'moved' where id % 11 = 0`);
    await path.source.query(`delete from ${table} where id % 7 = 0`);
    await followed.settle();
    const { rows } = await path.source.query<Row>(
      `select region, id::int, name, price::text, (at at time zone 'utc')::text || '+00' as at
        from ${table} order by region, id`,
    );
    expect(rows.length).toBe(172);
    return { topic, expected: rows };
  }

  const environment = (topic: string): Record<string, string> => ({
    ...environmentOf({ kafka: addressOf('kafka') }),
    KAFKA_TOPIC: topic,
    KAFKA_GROUP: freshName('consumer'),
  });

  const startTypeScript = (env: Record<string, string>): Program =>
    startProgram(process.execPath, [join(packageRoot, 'dist', 'examples', 'consumer', 'consumer.js')], env);

  it.each([
    ['Python', 1, (env: Record<string, string>) => python.start('examples/consumer/consumer.py', env)],
    ['Python', 3, (env: Record<string, string>) => python.start('examples/consumer/consumer.py', env)],
    ['TypeScript', 1, startTypeScript],
    ['TypeScript', 3, startTypeScript],
  ])('in %s ends with the rows of the table, over %i partitions', async (_, partitions, start) => {
    const { topic, expected } = await fill(partitions);
    const program = start(environment(topic));
    programs.push(program);
    await waitFor(
      (see) => {
        const seen = sorted(JSON.parse(program.lines.at(-1) ?? '[]') as Row[]);
        see(`${seen.length} rows`);
        expect(seen).toEqual(expected);
        return true;
      },
      { deadlineMs: 40_000, what: 'the rows of the table', everyMs: 200 },
    );
  });
});

/** Without the columns of pg2click, in the order of the key. */
function sorted(rows: readonly Row[]): Row[] {
  const place = ({ region, id }: Row): string => `${String(region)} ${String(id).padStart(9, '0')}`;
  return rows
    .map(({ _version, _deleted, ...columns }) => columns)
    .toSorted((one, other) => (place(one) < place(other) ? -1 : 1));
}
