import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

/** As this file: sources in tests, what was compiled in the build. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** All that runs in the sandbox of a workflow, in one piece: 1.5 s. */
export function bundleWorkflows(): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: pathOf('index'),
    workflowInterceptorModules: [pathOf('early-activation')],
    logger: new DefaultLogger('WARN'),
  });
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(`${name}.${EXTENSION}`, import.meta.url));
}
