import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Replica } from '../../src/domain/replica.js';
import { lastDrawn, waitForEvents, Wake } from '../../src/source/wake.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource, replicate } from '../support/source-table.js';

/** Noticing events: quickly when there are many, cheaply when there are none. */
describe('waiting for events', async () => {
  const address = await freshDatabase('wake');
  let client: pg.Client;
  let writer: pg.Client;
  let replica: Replica;
  beforeAll(async () => {
    client = await connectSource(address);
    writer = await connectSource(address);
    await client.query(`create table t (id int primary key)`);
    replica = await replicate(client, { schema: 'public', table: 't' });
  });
  afterAll(() => Promise.all([client.end(), writer.end()]));

  it('goes from 5 ms to 250 ms while nothing happens, and back at once', () => {
    const wake = new Wake();
    const pauses = Array.from({ length: 20 }, () => wake.idle());
    expect(pauses[0]).toBe(5);
    expect(pauses.at(-1)).toBe(250);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    wake.busy();
    expect(wake.idle()).toBe(5);
  });

  it('says no when its time is over, or its signal aborted', async () => {
    const signal = new AbortController().signal;
    expect(await waitForEvents(client, replica.id, { signal, timeoutMs: 20 })).toBe(false);
    expect(await waitForEvents(client, replica.id, { signal: AbortSignal.timeout(20) })).toBe(false);
  });

  it('sees an event once it is committed, and not before', async () => {
    const signal = AbortSignal.timeout(10_000);
    expect(await lastDrawn(client, replica.id)).toBe('0');
    await writer.query(`begin; insert into t values (1)`);
    expect(await lastDrawn(client, replica.id)).toBe('1');
    expect(await waitForEvents(client, replica.id, { signal, timeoutMs: 20 })).toBe(false);
    const waiting = waitForEvents(client, replica.id, { signal });
    await writer.query('commit');
    expect(await waiting).toBe(true);
    expect(await waitForEvents(client, replica.id, { signal, after: '1', timeoutMs: 20 })).toBe(false);
  });
});
