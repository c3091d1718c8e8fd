// Starts `npm run demo`, `npm run bench`, `npm run night` and `npm test` on a fresh clone: installs, builds, goes on. It has no dependencies, since there may be
// none installed yet.
//   node scripts/run.mjs demo [arguments of `pg2click demo`]
//   node scripts/run.mjs bench [arguments of the benchmarks: --help tells them]
//   node scripts/run.mjs night [arguments of the night: --help tells them]
//   node scripts/run.mjs test [arguments of `vitest run`]
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_NEEDED = [20, 20];
const LOCK = join(ROOT, 'package-lock.json');
const INSTALLED = join(ROOT, 'node_modules', '.pg2click-installed');
const BUILT = join(ROOT, 'dist', '.pg2click-built');
/** What `npm run build` reads. */
const SOURCES = ['src', 'workflows', 'activities', 'test', 'dev', 'tsconfig.json', 'package.json'];

const [task, ...args] = process.argv.slice(2);
const commands = {
  demo: [join('dist', 'src', 'cli', 'main.js'), 'demo', ...args],
  bench: [join('dist', 'dev', 'bench', 'main.js'), ...args],
  night: [join('dist', 'dev', 'night', 'main.js'), ...args],
  test: [join('node_modules', 'vitest', 'vitest.mjs'), 'run', ...args],
};
const command = Object.hasOwn(commands, task ?? '') ? commands[task] : undefined;
if (command === undefined) fail('Usage: node scripts/run.mjs demo|bench|night|test [arguments]');

checkNode();
/** What runs now. It ends with us, whoever ends us. */
const children = new Set();
let handedOver = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // Ctrl-C reaches the task by itself, being in our process group; a second one would mean "leave at once" to it.
    if (handedOver && signal === 'SIGINT') return;
    for (const child of children) child.kill(signal);
  });
}
let kafka = Promise.resolve();
if (mustInstall()) {
  kafka = fetchKafka();
  await step('installing packages (npm ci)', 'npm', ['ci', '--no-audit', '--no-fund']);
}
writeFileSync(INSTALLED, lockHash());
const newest = newestSource();
if (!existsSync(BUILT) || Number(readFileSync(BUILT, 'utf8')) < newest) {
  await step('building (npm run build)', 'npm', ['run', '--silent', 'build']);
  mkdirSync(dirname(BUILT), { recursive: true });
  // The time of the newest source that went in, not of the end: an edit made during the build is built next time.
  writeFileSync(BUILT, String(newest));
}
await kafka;
process.exit(await handOver(process.execPath, command));

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1])) return;
  fail(`pg2click needs Node ${NODE_NEEDED.join('.')} or later; this is ${process.versions.node}.`);
}

/** npm writes its own record at the end of an install: the evidence where somebody installed without this script. */
function mustInstall() {
  if (existsSync(INSTALLED)) return readFileSync(INSTALLED, 'utf8') !== lockHash();
  const record = statSync(join(ROOT, 'node_modules', '.package-lock.json'), { throwIfNoEntry: false });
  return record === undefined || record.mtimeMs < statSync(LOCK).mtimeMs;
}

function lockHash() {
  return createHash('sha256').update(readFileSync(LOCK)).digest('hex');
}

/**
 * Kafka's libraries take Maven 14 s on two cores, the longest of all that a first start downloads: they come while npm installs. The
 * local stack finds them in its cache. Whatever goes wrong is said by the stack, which tries again.
 */
async function fetchKafka() {
  const pom = join(ROOT, 'dev', 'stack', 'kafka-pom.xml');
  const [, version] = /<kafka\.version>([\d.]+)</u.exec(readFileSync(pom, 'utf8'));
  const cache = process.env.PG2CLICK_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'pg2click');
  const entry = join(cache, `kafka-${version}`);
  if (existsSync(entry) || process.env.KAFKA_BOOTSTRAP || process.env.PG2CLICK_TEST_STACK) return;
  mkdirSync(cache, { recursive: true });
  // The name says whose it is: the stack removes those of processes that are gone.
  const aside = mkdtempSync(`${entry}.tmp-${process.pid}-`);
  const parameters = ['--batch-mode', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${aside}`];
  const maven = spawn('mvn', parameters, { stdio: 'ignore' });
  const code = await ended(maven, () => 1);
  try {
    if (code === 0) renameSync(aside, entry);
  } catch {
    // another process was faster
  }
  rmSync(aside, { recursive: true, force: true });
}

function newestSource() {
  return Math.max(...SOURCES.map((name) => newestIn(join(ROOT, name))));
}

function newestIn(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  // A folder's own time changes when a file in it is removed.
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestIn(join(path, name))));
}

/** Runs a step quietly, with a clock; what it wrote is shown only when it fails. */
async function step(what, program, parameters) {
  const startedAt = Date.now();
  const elapsed = () => `${((Date.now() - startedAt) / 1000).toFixed(0)} s`;
  const terminal = process.stderr.isTTY;
  if (!terminal) process.stderr.write(`${what}\n`);
  const say = () => process.stderr.write(terminal ? `\r${what} ... ${elapsed()}` : `${what}: ${elapsed()} so far\n`);
  const clock = setInterval(say, terminal ? 1_000 : 15_000);
  const output = [];
  const child = spawn(program, parameters, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  });
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const code = await ended(child, (error) => fail(`Cannot run ${program}: ${error.message}`));
  clearInterval(clock);
  if (terminal) process.stderr.write('\r\u001b[K');
  if (code !== 0) {
    process.stderr.write(Buffer.concat(output));
    fail(`Failed while ${what}, after ${elapsed()}: the reason is above.`, code);
  }
  process.stderr.write(`${what}: done in ${elapsed()}\n`);
}

/** Runs the task as if it had been called itself: same terminal, same exit code. */
async function handOver(program, parameters) {
  const child = spawn(program, parameters, { cwd: ROOT, stdio: 'inherit' });
  handedOver = true;
  return ended(child, (error) => fail(`Cannot run ${program}: ${error.message}`));
}

function ended(child, onError) {
  children.add(child);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(onError(error)));
    child.once('close', (code, signal) => {
      children.delete(child);
      resolve(signal === null ? code : 128 + (constants.signals[signal] ?? 0));
    });
  });
}

function fail(message, code = 1) {
  process.stderr.write(`${message}\n`);
  for (const child of children) child.kill();
  process.exit(code);
}
