// Asks the worker of this machine whether it is alive: exit code 0 if so. For HEALTHCHECK of the image, and for cron.
//   PG2CLICK_HEALTH=host:port node scripts/healthcheck.mjs [/readyz]
const TIMEOUT_MS = 4_000;

const address = process.env.PG2CLICK_HEALTH;
if (!address) fail('PG2CLICK_HEALTH is not set: the worker has no health endpoint.');
// What listens everywhere is asked here.
const near = address.replace(/^(?:0\.0\.0\.0|\[::\])(?=:\d+$)/u, '127.0.0.1');
try {
  const response = await fetch(`http://${near}${process.argv[2] ?? '/healthz'}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) fail((await response.text()).trim());
} catch (error) {
  fail(`No answer from http://${near} (${error.cause?.code ?? error.name}).`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
