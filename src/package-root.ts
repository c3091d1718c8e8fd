import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root folder, from a source file or from its build in `dist`: where `sql/` and `package.json` are. */
export const packageRoot = ascend(dirname(fileURLToPath(import.meta.url)));

function ascend(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : ascend(dirname(folder));
}
