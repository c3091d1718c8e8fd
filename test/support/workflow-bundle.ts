import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';
import { afterAll } from 'vitest';

/** The workflows of the sources, bundled as the build does it: 1.5 s, so once a file. */
export function bundleWorkflows(): Promise<WorkflowBundle & { code: string }> {
  return bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('WARN'),
  });
}

/** The same as a file, removed after the file's tests. */
export async function bundleFile(): Promise<string> {
  const { code } = await bundleWorkflows();
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-bundle-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'workflow-bundle.js');
  writeFileSync(path, code);
  return path;
}
