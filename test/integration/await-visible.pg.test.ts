import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { awaitVisible } from '../../src/source/by-key/await-visible.js';
import { connectSource } from '../support/source-table.js';
import { freshDatabase } from '../support/stack.js';

let source: pg.Client;
let writer: pg.Client;

beforeAll(async () => {
  const address = await freshDatabase('visible');
  [source, writer] = [await connectSource(address), await connectSource(address)];
});
afterAll(() => Promise.all([source.end(), writer.end()]));

const number = async (expression: string): Promise<number> => {
  const { rows } = await writer.query<{ number: string }>(
    /* sql */ `select (${expression} & 4294967295)::text as number`,
  );
  return Number(rows[0]?.number);
};

it('waits until a transaction is visible, and for nothing else', async () => {
  const { signal } = new AbortController();
  await writer.query('begin');
  const running = await number('pg_current_xact_id()::text::bigint');
  await awaitVisible(source, [3, running - 1], { signal, onWait: () => expect.unreachable() });
  let waits = 0;
  let isOver = false;
  const waiting = awaitVisible(source, [3, running], { signal, onWait: () => (waits += 1) }).then(
    () => (isOver = true),
  );
  await expect.poll(() => waits).toBeGreaterThan(1);
  expect(isOver).toBe(false);
  await writer.query('commit');
  await waiting;
});

it('a wait ends with the slice', async () => {
  const over = new AbortController();
  await writer.query('begin');
  const running = await number('pg_current_xact_id()::text::bigint');
  const waiting = awaitVisible(source, [running], { signal: over.signal, onWait: () => over.abort(new Error('over')) });
  await expect(waiting).rejects.toThrow();
  await writer.query('commit');
});

it('transactions that this server cannot have are of another one', async () => {
  const ahead = await number('pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 2000000');
  const waiting = awaitVisible(source, [ahead], { signal: new AbortController().signal, onWait: () => undefined });
  await expect(waiting).rejects.toMatchObject({ kind: 'WrongWorker' });
});
