import { join } from 'node:path';
import { expect, it } from 'vitest';
import { failurePage } from '../../src/failure/page.js';
import { packageRoot } from '../../src/package-root.js';

it('docs/06-failures.md is what the table of failure kinds says', async () => {
  await expect(failurePage()).toMatchFileSnapshot(join(packageRoot, 'docs', '06-failures.md'));
});
