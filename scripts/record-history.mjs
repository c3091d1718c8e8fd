// Downloads the history of a table's workflow, to be replayed by test/workflow/recorded-histories.test.ts for ever after.
//   npm run record-history -- replicate/default/public.orders test/fixtures/histories/0.1.0-what-it-shows.json
// Settings are read as every command reads them. Read the file before it is committed: it holds names of tables, and the
// sentences of failures; rows and secrets never get into a history.
import { writeFileSync } from 'node:fs';
import { connectTemporal } from '../dist/src/connect/temporal.js';
import { portableHistory } from '../dist/src/control/portable-history.js';
import { loadSettings } from '../dist/src/settings/settings.js';

const [workflowId, file] = process.argv.slice(2);
if (workflowId === undefined || file === undefined) {
  process.stderr.write('Usage: npm run record-history -- WORKFLOW_ID FILE.json\n');
  process.exit(2);
}
const temporal = await connectTemporal(loadSettings());
const history = await portableHistory(temporal.client.workflow.getHandle(workflowId));
writeFileSync(file, history);
await temporal.close();
process.stderr.write(`${file}: ${JSON.parse(history).events.length} events\n`);
