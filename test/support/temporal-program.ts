import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findTemporal } from '../../dev/stack/temporal-program.js';
import { packageRoot } from '../../src/package-root.js';
import { emptyFolder } from './cli.js';
import type { CliSettings } from './cli-settings.js';

/**
 * Runs a command of a docs page as a person pastes it into a shell, with the `temporal` program of the local stack.
 * @param command how it begins
 */
export async function runRecipe(
  page: string,
  command: string,
  { workflowId, settings }: { readonly workflowId: string; readonly settings: CliSettings },
): Promise<void> {
  const text = readFileSync(join(packageRoot, 'docs', page), 'utf8');
  const [, recipe] = new RegExp(`^(${command}(?:.*\\\\\\n)*.*)$`, 'mu').exec(text) ?? [];
  if (recipe === undefined) throw new Error(`docs/${page} has no command ${command}`);
  const program = await findTemporal({ signal: AbortSignal.timeout(60_000), step: () => undefined });
  const env = {
    PATH: `${dirname(program)}:/usr/bin:/bin`,
    HOME: emptyFolder(),
    TEMPORAL_ADDRESS: settings['TEMPORAL_ADDRESS'],
    TEMPORAL_NAMESPACE: settings['TEMPORAL_NAMESPACE'],
  };
  await promisify(execFile)('sh', ['-c', recipe.replace(/replicate\/default\/shop\.orders/u, workflowId)], { env });
}
