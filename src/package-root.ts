import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root folder, from a source file or from its build in `dist`: where `sql/` and `package.json` are. */
export const packageRoot = ascend(dirname(fileURLToPath(import.meta.url)));

export function readVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return version;
}

/** What an administrator runs in the source database, for a role that owns nothing there. */
export const roleScript = join(packageRoot, 'sql', 'roles', 'postgres.sql');

/** The same for `--capture wal`, after it. */
export const walRoleScript = join(packageRoot, 'sql', 'roles', 'postgres-wal.sql');

/** The same in the database of a ledger that lies elsewhere. */
export const ledgerRoleScript = join(packageRoot, 'sql', 'roles', 'ledger.sql');

function ascend(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : ascend(dirname(folder));
}
