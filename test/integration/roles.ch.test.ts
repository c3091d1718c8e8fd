import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { expect, it, onTestFinished } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { clickhouseOptions } from '../support/clients.js';
import { addressOf } from '../support/stack.js';

// The ClickHouse of the local stack has no users, so that its rights cannot be tried here.
it('the script for ClickHouse is understood by its parser, statement by statement', async () => {
  const clickhouse = createClient({
    ...clickhouseOptions(addressOf('clickhouse')),
    log: { level: ClickHouseLogLevel.OFF },
  });
  onTestFinished(() => clickhouse.close());
  const statements = readFileSync(join(packageRoot, 'sql', 'roles', 'clickhouse.sql'), 'utf8')
    .replaceAll(/^--.*$/gmu, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter(Boolean);
  expect(statements).toHaveLength(15);
  for (const statement of [...statements, 'grant select on system.parts too pg2click']) {
    const understood = await clickhouse.command({ query: `explain ast ${statement}` }).then(
      () => 'yes',
      (error: unknown) => (error instanceof ClickHouseError ? `no: ${error.message}` : error),
    );
    if (statement.includes(' too ')) expect(understood).toMatch(/^no: /u);
    else expect(understood, statement).toBe('yes');
  }
});
