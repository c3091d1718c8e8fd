import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../src/package-root.js';
import { bundleWorkflows } from './bundle.js';

/**
 * Writes `dist/workflow-bundle.js`, the last step of the build. Workers load it as it is: bundling at their start would cost
 * each of them 1.5 s and 100 MB, and must be done by the very version of the SDK that runs it.
 */
const { code } = await bundleWorkflows();
await writeFile(join(packageRoot, 'dist', 'workflow-bundle.js'), code);
