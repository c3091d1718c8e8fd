import { join } from 'node:path';
import { packageRoot } from '../../src/package-root.js';

/** All that a night writes is in here. */
export const STATE_DIR = join(packageRoot, '.pg2click', 'night');
