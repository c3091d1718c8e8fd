import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadDevTools } from '../../src/cli/dev-tools.js';
import { packageRoot } from '../../src/package-root.js';

const run = promisify(execFile);

describe('the published package', () => {
  it('carries the product with its statements, pages and examples, and nothing of dev and test', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: packageRoot });
    const [pack] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = pack.files.map(({ path }) => path);
    // What is built depends on whether it was built; the rules are the same.
    const folders = new Set(
      paths.map((path) => (path.startsWith('dist/') ? path.split('/').slice(0, 2).join('/') : path.split('/')[0])),
    );
    const allowed = [
      'dist/src',
      'dist/workflows',
      'dist/activities',
      'dist/workflow-bundle.js',
      'sql',
      'docs',
      'examples',
    ];
    const named = ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json'];
    expect([...folders].filter((folder) => folder === undefined || ![...allowed, ...named].includes(folder))).toEqual(
      [],
    );
    expect(paths).toEqual(expect.arrayContaining(['README.md', 'sql/roles/postgres.sql']));
    if (existsSync(join(packageRoot, 'dist'))) expect(paths).toContain('dist/src/cli/main.js');
  });

  it('says in one sentence why it has no dev and no demo, and what to do', async () => {
    await expect(loadDevTools(join(packageRoot, 'dist', 'src', 'tools.js'))).rejects.toMatchObject({
      kind: 'Misconfigured',
      message:
        'This installation of pg2click has no local servers and no demo: only a checkout of its source code has them.',
      remedy: expect.stringContaining('Clone the source code') as string,
    });
  });
});

it('the lock file names no registry: npm takes the one that is configured', () => {
  const lock = JSON.parse(readFileSync(join(packageRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { resolved?: string }>;
  };
  expect(Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
});
