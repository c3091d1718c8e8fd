import { createServer, type AddressInfo } from 'node:net';
import type { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { loadSettings } from '../../src/settings/settings.js';
import { openProbes } from '../../src/worker/server-watch.js';

it('a PostgreSQL that accepts the connection and says nothing is given up after 4 s, by its own name', async () => {
  const frozen = createServer(() => undefined);
  await new Promise<void>((resolve) => frozen.listen(0, '127.0.0.1', resolve));
  const { port } = frozen.address() as AddressInfo;
  const env = { PG_HOST: '127.0.0.1', PG_PORT: String(port), LEDGER_PG_URL: `postgres://u:p@127.0.0.1:${port}/ledger` };
  const settings = loadSettings({ env, envFile: false, stackFile: false });
  const { postgresql, ledger } = openProbes(settings, {} as NativeConnection, pino({ level: 'silent' }));
  try {
    const [source, other] = await Promise.allSettled([postgresql?.probe(), ledger?.probe()]);
    expect(source).toMatchObject({
      reason: { kind: 'SourceUnavailable', message: 'PostgreSQL did not answer within 4 s.' },
    });
    expect(other).toMatchObject({
      reason: { kind: 'LedgerUnavailable', message: 'The PostgreSQL of the ledger did not answer within 4 s.' },
    });
  } finally {
    frozen.close();
  }
});
