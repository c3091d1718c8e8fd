// The program behind the tests that kill it: `pg2click dev` on the folder given, without the servers that are named after it.
import { runDev } from '../../dev/stack/dev.js';
import type { StackAddresses } from '../../dev/stack/stack.js';

const [stateDir, ...without] = process.argv.slice(2);
if (stateDir === undefined) throw new Error('Usage: run-dev STATE_DIR [SERVER_NOT_TO_START...]');

/** Addresses at which nothing listens: whoever uses a server of the user's own instead of starting it never calls it. */
const ELSEWHERE: StackAddresses = {
  postgres: { host: 'db.invalid', port: 5432, database: 'app', user: 'app', password: 'not-printed' },
  kafka: { bootstrap: 'kafka.invalid:9092' },
  clickhouse: { url: 'http://clickhouse.invalid:8123', user: 'app', password: 'not-printed', database: 'app' },
  temporal: { address: 'temporal.invalid:7233', namespace: 'app', uiUrl: '' },
};

const external = Object.fromEntries(Object.entries(ELSEWHERE).filter(([server]) => without.includes(server)));
await runDev({ stateDir, external });
