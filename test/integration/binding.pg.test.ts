import pg from 'pg';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { bindLedger, requireOwnLedger } from '../../src/ledger/binding.js';
import { migrateLedger, migrateSource } from '../../src/ledger/migrate.js';
import { freshDatabase } from '../support/stack.js';

/** Ids of a ledger name outboxes in a source: a mix-up of two of either would mix up their tables. */
describe('a ledger elsewhere and its source', () => {
  const clients: pg.Client[] = [];
  afterAll(() => Promise.all(clients.map((client) => client.end())));
  const open = async (prepare?: (client: pg.Client) => Promise<unknown>): Promise<pg.Client> => {
    const client = new pg.Client(await freshDatabase('bind'));
    await client.connect();
    clients.push(client);
    await prepare?.(client);
    return client;
  };
  const bind = { bind: true, outboxes: true };
  const verify = { bind: false, outboxes: true };
  const addTable = (client: pg.Client): Promise<unknown> =>
    client.query(`insert into pg2click.replicated_table (pipeline, schema_name, table_name, relation, generation, definition)
      values ('p', 'public', 't', 1, 1, '{}')`);

  let ledger: pg.Client;
  let source: pg.Client;
  beforeEach(async () => {
    ledger = await open(migrateLedger);
    source = await open(migrateSource);
  });

  it('know each other once init has said so', async () => {
    await expect(bindLedger(ledger, source, verify)).rejects.toMatchObject({ remedy: 'Run "pg2click init".' });
    await bindLedger(ledger, source, bind);
    await bindLedger(ledger, source, bind);
    await bindLedger(ledger, source, verify);
  });

  it('a second source of a ledger is refused', async () => {
    await bindLedger(ledger, source, bind);
    const second = await open(migrateSource);
    await expect(bindLedger(ledger, second, bind)).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: expect.stringMatching(
        /serves the source database "bind_.*" .*, and a ledger serves one source/u,
      ) as string,
    });
  });

  it('a second ledger of a source is refused, and the first one that was made again', async () => {
    await bindLedger(ledger, source, bind);
    await expect(bindLedger(await open(migrateLedger), source, bind)).rejects.toMatchObject({
      message: expect.stringMatching(/belong to another ledger/u) as string,
    });
  });

  it('the database of the tables itself is refused', async () => {
    await migrateLedger(source);
    await expect(bindLedger(source, source, bind)).rejects.toMatchObject({ remedy: 'Remove it.' });
  });

  it('a ledger that has tables of its own database is refused', async () => {
    await addTable(ledger);
    await expect(bindLedger(ledger, source, bind)).rejects.toMatchObject({
      message: expect.stringMatching(/serves the tables of its own database/u) as string,
    });
  });

  it('a source that has a ledger with tables in it is refused', async () => {
    await migrateLedger(source);
    await addTable(source);
    await expect(bindLedger(ledger, source, bind)).rejects.toMatchObject({
      message: expect.stringMatching(/has a ledger of its own, with 1 table\b/u) as string,
    });
  });

  it('without LEDGER_PG_URL a source whose ledger lies elsewhere is refused, and a ledger of others', async () => {
    await requireOwnLedger(source);
    await bindLedger(ledger, source, bind);
    await expect(requireOwnLedger(source)).rejects.toMatchObject({ remedy: 'Set LEDGER_PG_URL as it was.' });
    await expect(requireOwnLedger(ledger)).rejects.toMatchObject({
      message: expect.stringMatching(/serves another source/u) as string,
    });
  });

  it('a source in which no outbox can be made needs nothing there', async () => {
    await bindLedger(ledger, await open(), { bind: true, outboxes: false });
  });
});
