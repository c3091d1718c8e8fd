import { expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import type { ChangeStep } from '../../src/domain/route-change.js';
import { waitFor } from '../support/wait-for.js';
import { openPath, type Followed, type Path } from '../support/path.js';

const TO_POLL = { capture: 'poll', appendOnly: true } as const;

/** A table by an outbox, with some batches behind it. */
async function open(ledgerElsewhere = false): Promise<{ readonly path: Path; readonly followed: Followed }> {
  const path = await openPath({ ledgerElsewhere });
  await path.source.query(/* sql */ `
    create table t (id bigserial primary key, v text);
    grant select on t to public; grant select on sequence t_id_seq to public`);
  const followed = await path.add('t');
  await followed.copy();
  for (let n = 0; n < 3; n += 1) {
    await path.source.query(`insert into t (v) values ('a')`);
    await followed.settle();
  }
  return { path, followed };
}

/** Up to the moment at which the ledger has the new route, and the old capture is there still. */
async function switchToPoll(followed: Followed): Promise<unknown> {
  const { start } = await followed.change(TO_POLL, 'preparing');
  await followed.change(TO_POLL, 'draining', start);
  expect((await followed.change(TO_POLL, 'switching', start)).next).toBe('clearing');
  return start;
}

it('a slice that was frozen before it claimed its stage goes by the route of after the change', async () => {
  const { path, followed } = await open();
  let thaw = (): void => undefined;
  const thawed = new Promise<void>((resolve) => (thaw = resolve));
  let isFrozen = false;
  const ledger = new Proxy(path.deps.ledger, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (key !== 'query') return typeof value === 'function' ? value.bind(target) : value;
      return async (...given: Parameters<typeof target.query>) => {
        if (!isFrozen && String(given[0]).includes('set epoch = epoch + 1, owner')) {
          isFrozen = true;
          await thawed;
        }
        return target.query(...given);
      };
    },
  });
  const late = followed.publish({ ledger } satisfies Partial<Deps>).catch(() => 'it was fenced');
  await waitFor(() => Promise.resolve(isFrozen), { deadlineMs: 20_000, what: 'the claim' });
  const start = await switchToPoll(followed);
  await path.source.query(`insert into t (v) values ('late')`);
  thaw();
  await late;
  await followed.change(TO_POLL, 'clearing', start);
  followed.forget();
  await path.source.query(`insert into t (v) values ('later')`);
  expect(await followed.expectEqual()).toBe(5);
  await path.close();
});

it('a change that is taken back before it is cleared begins anew, with the ledger elsewhere', async () => {
  const { path, followed } = await open(true);
  await switchToPoll(followed);
  followed.forget();
  let step: ChangeStep | null = 'draining';
  let start: unknown;
  while (step !== null) ({ next: step, start } = await followed.change({ capture: 'outbox' }, step, start));
  await path.source.query(`insert into t (v) values ('b')`);
  await followed.copy();
  expect(await followed.expectEqual()).toBe(4);
  await path.close();
});
