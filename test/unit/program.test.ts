import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createProgram } from '../../src/cli/program.js';

const argv = process.argv;
let stdout = '';

beforeEach(() => {
  stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  vi.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Error(`exit ${code ?? 0}`);
  });
});
afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
});

function run(...args: string[]): Promise<unknown> {
  process.argv = ['node', 'pg2click', ...args];
  return createProgram().parseAsync();
}

it('wrong usage with --json is a JSON object on standard output, as every other error', async () => {
  await expect(run('add', 'orders', '--kye', 'id', '--json')).rejects.toThrow('exit 2');
  expect(JSON.parse(stdout)).toEqual({
    error: { kind: 'Misconfigured', message: "unknown option '--kye'", remedy: 'Did you mean --key?' },
  });
});

it('options that exclude one another are wrong usage', async () => {
  await expect(run('backfill', 'orders', '--where', 'id > 1', '--from', '1', '--json')).rejects.toThrow('exit 2');
  expect(JSON.parse(stdout)).toMatchObject({
    error: { message: "option '--where <condition>' cannot be used with option '--from <key>'" },
  });
});

it('wrong usage without --json leaves standard output empty', async () => {
  await expect(run('add')).rejects.toThrow('exit 2');
  expect(stdout).toBe('');
});

it('--help with --json is no error', async () => {
  await expect(run('add', '--json', '--help')).rejects.toThrow('exit 0');
  expect(stdout).toMatch(/^Usage: pg2click add/u);
});
