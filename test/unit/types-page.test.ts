import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { TYPE_ROWS } from '../../src/domain/types/rows.js';
import { renderTypesPage } from '../../src/domain/types/types-page.js';
import { packageRoot } from '../../src/package-root.js';

const PAGE = join(packageRoot, 'docs', '21-types.md');

// To write the page anew after a change of the table: npx vitest run types-page --update
it('the page of types says what the table of types says', async () => {
  const page = await format(renderTypesPage(), { ...(await resolveConfig(PAGE)), parser: 'markdown' });
  await expect(page).toMatchFileSnapshot(PAGE);
});

it('every type has one row', () => {
  const names = TYPE_ROWS.flatMap((row) => row.names);
  expect(new Set(names).size).toBe(names.length);
});
