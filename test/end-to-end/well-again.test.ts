import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { publishSlice } from '../../activities/publish-slice.js';
import { attempt } from '../support/activity.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

let path: Path;
beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

it.each([
  ['an attempt that follows one that failed says once that its stage is well again', 3, 1],
  ['a first attempt says nothing', 1, 0],
])('%s', async (_, number, times) => {
  const table = freshName('well');
  await path.source.query(`create table ${table} (id int primary key, v text)`);
  const followed = await path.add(table);
  await followed.copy();
  await path.source.query(`insert into ${table} values (1, 'x'), (2, 'y')`);
  const lines: string[] = [];
  const log = pino({}, { write: (line) => void lines.push(line) });
  await followed.call(
    (deps, request) =>
      attempt(() => publishSlice({ ...deps, log }, { ...request, checkpoint: null, sliceMs: 500 }), { attempt: number })
        .result,
    {},
  );
  const said = lines.map((line) => JSON.parse(line) as { msg: string }).filter(({ msg }) => msg === 'well again');
  expect(said).toHaveLength(times);
  for (const line of said)
    expect(line).toMatchObject({
      table: `public.${table}`,
      stage: 'publish',
      worker: path.deps.owner,
      attempt: number,
    });
});
