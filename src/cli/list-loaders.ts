import chalk from 'chalk';
import { notReplicated } from '../control/send-command.js';
import { viewTable } from '../control/table-view.js';
import { parseTableName } from '../domain/table-name.js';
import type { Exit } from './exit-code.js';
import { withLateLoaders } from './late-loaders.js';
import { loaderText } from './loader-picture.js';
import { viewSource, withServers } from './servers.js';
import type { Session } from './session.js';

/** Shows the loaders of a table, with their targets and how far they are. */
export async function listLoaders(session: Session, table: string, _options: object): Promise<Exit> {
  const name = parseTableName(table);
  return withServers<Exit>(session, async (servers) => {
    const known = await viewTable(viewSource(session, servers), name, { asks: true });
    if (known === undefined) throw notReplicated({ ...name, pipeline: session.settings.pipeline });
    const view = await withLateLoaders(session, known);
    const { loaders, topic } = view;
    if (session.json) session.print(JSON.stringify({ table: view.table, topic, loaders }));
    else {
      const width = Math.max(...loaders.map((loader) => loader.name.length));
      for (const loader of loaders) session.print(`${chalk.bold(loader.name.padEnd(width))}  ${loaderText(loader)}`);
    }
    return 'done';
  });
}
