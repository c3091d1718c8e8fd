import type { ClientBase } from 'pg';
import { outboxTable } from '../../src/source/outbox/names.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { notifyCapture } from '../../src/source/poll/poll-capture.js';
import { makeSlot, readSlot } from './bare-decoding.js';
import { capture, captureWith } from './captured.js';
import type { BenchEnvironment } from './environment.js';
import { createOrders } from './orders.js';

const OUTBOX_ID = '900002';
const NOTIFY_ID = '900004';

/** A table, and what sees its changes. */
export interface TriggerVariant {
  readonly name: string;
  readonly table: string;
  /** A sequence numbers its rows. */
  readonly draws?: boolean;
  /** What is emptied with the table. */
  readonly fills: readonly string[];
  /** Makes the table and its triggers. @returns what takes the triggers away */
  readonly install: (pg: ClientBase) => Promise<() => Promise<void>>;
  /** What works beside the writers, during its own turns only. @returns what ends it */
  readonly attend?: (environment: BenchEnvironment) => Promise<() => Promise<void>>;
}

/** In the order of the columns; the first is what the others are compared with. */
export const TRIGGER_VARIANTS: readonly TriggerVariant[] = [
  {
    name: 'none',
    table: 'trigger_none',
    fills: [],
    install: () => Promise.resolve(() => Promise.resolve()),
  },
  {
    name: 'outbox',
    table: 'trigger_outbox',
    fills: [outboxTable(OUTBOX_ID)],
    async install(pg) {
      const table = await capture(pg, 'trigger_outbox', OUTBOX_ID);
      return () => removeOutbox(pg, table);
    },
  },
  {
    // As its reader leaves it under load: awake, so that no commit notifies.
    name: 'notify',
    table: 'trigger_notify',
    draws: true,
    fills: [],
    async install(pg) {
      const table = await captureWith(notifyCapture, pg, 'trigger_notify', NOTIFY_ID);
      return () => notifyCapture.remove(pg, table);
    },
  },
  {
    // No trigger: the server decodes its WAL beside the writers, and somebody reads it. Made for each turn, or it would read the others'.
    name: 'wal',
    table: 'trigger_wal',
    fills: [],
    install: () => Promise.resolve(() => Promise.resolve()),
    async attend(environment) {
      const drop = await makeSlot(environment, 'trigger_wal');
      const reader = await readSlot(environment, 'trigger_wal');
      return async () => {
        await reader[Symbol.asyncDispose]();
        await drop();
      };
    },
  },
  {
    // What people write by hand, and what its readers then have to delete.
    name: 'jsonb by row',
    table: 'trigger_jsonb',
    fills: ['trigger_jsonb_events'],
    async install(pg) {
      await pg.query(/* sql */ `
        create table trigger_jsonb_events (
          id bigint generated always as identity primary key, op text not null, payload jsonb, at timestamptz default now());
        create function trigger_jsonb_write() returns trigger language plpgsql as $$
        begin
          insert into trigger_jsonb_events (op, payload) values (tg_op, to_jsonb(coalesce(new, old)));
          return null;
        end $$;
        create trigger trigger_jsonb after insert or update or delete on trigger_jsonb
          for each row execute function trigger_jsonb_write()`);
      return async () => {
        await pg.query(/* sql */ `drop table trigger_jsonb_events; drop function trigger_jsonb_write cascade`);
      };
    },
  },
];

/** @returns what takes all of it away */
export async function installVariants(pg: ClientBase): Promise<() => Promise<void>> {
  const removals: (() => Promise<void>)[] = [];
  for (const { table, draws = false, install } of TRIGGER_VARIANTS) {
    await createOrders(pg, table, { draws });
    removals.push(await install(pg));
  }
  return async () => {
    for (const remove of removals) await remove();
    await pg.query(/* sql */ `drop table ${TRIGGER_VARIANTS.map(({ table }) => table).join(', ')}`);
  };
}
