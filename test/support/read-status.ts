import { showStatus } from '../../src/cli/show-status.js';
import type { PipelineView, TableView } from '../../src/control/table-view.js';
import { loadSettings } from '../../src/settings/settings.js';

/**
 * What `pg2click status TABLE --json` prints, from the code of the command itself, in this process: a process of its own
 * takes more than a second of a core, and a test polls.
 * @throws Failure where the table is not replicated
 */
export async function readStatus(env: Readonly<Record<string, string>>, table: string): Promise<TableView | undefined> {
  const printed: string[] = [];
  const session = {
    settings: loadSettings({ env, envFile: false, stackFile: false }),
    json: true,
    signal: new AbortController().signal,
    print: (line: string) => void printed.push(line),
    tell: () => undefined,
    warn: () => undefined,
  };
  await showStatus(session, table, {});
  return (JSON.parse(printed.at(-1) ?? '{}') as Partial<PipelineView>).tables?.[0];
}
