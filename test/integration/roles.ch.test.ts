import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { addressOf } from '../support/stack.js';

// The ClickHouse of the local stack has no users, so that its rights cannot be tried here.
it('the script for ClickHouse is understood by its parser, statement by statement', async () => {
  const { url, user, password } = addressOf('clickhouse');
  const statements = readFileSync(join(packageRoot, 'sql', 'roles', 'clickhouse.sql'), 'utf8')
    .replaceAll(/^--.*$/gmu, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter(Boolean);
  expect(statements).toHaveLength(6);
  for (const statement of [...statements, 'grant select on system.parts too pg2click']) {
    const answer = await fetch(url, {
      method: 'POST',
      body: `explain ast ${statement}`,
      headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
    });
    expect(answer.ok, `${statement}: ${await answer.text()}`).toBe(!statement.includes(' too '));
  }
});
