import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { bundleWorkflows } from '../../workflows/bundle.js';

/** What the tests bundle of the sources is made as the build makes it. */
export { bundleWorkflows } from '../../workflows/bundle.js';

/** The same as a file, removed after the file's tests. */
export async function bundleFile(): Promise<string> {
  const { code } = await bundleWorkflows();
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-bundle-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'workflow-bundle.js');
  writeFileSync(path, code);
  return path;
}
