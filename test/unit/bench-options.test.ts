import { CommanderError } from 'commander';
import { describe, expect, test, vi } from 'vitest';
import { readOptions } from '../../dev/bench/options.js';
import { SCENARIOS } from '../../dev/bench/scenarios.js';

const NAMES = ['backlog', 'latency', 'copy'];
const scenarios = NAMES.map((name) => ({ name, summary: `measures ${name}` }));

/** @returns what was written, and the code with which it would have ended */
function refused(...argv: string[]): { text: string; exitCode: number } {
  const written: string[] = [];
  const write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0;
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    readOptions(argv, scenarios);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { text: written.join(''), exitCode: error.exitCode };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  throw new Error(`${argv.join(' ')} was accepted`);
}

describe('the arguments of npm run bench', () => {
  test('ask for everything by default', () => {
    const options = readOptions([], scenarios);
    expect(options).toMatchObject({
      only: NAMES,
      rows: 500_000,
      messages: [{ name: 'json' }, { name: 'packed' }, { name: 'key' }],
      seconds: 20,
      json: false,
      profile: false,
    });
    expect(options.stateDir).toMatch(/\.pg2click\/bench$/u);
  });

  test('choose scenarios, which keep their order', () => {
    expect(readOptions(['--only', 'latency, backlog'], scenarios).only).toEqual(['backlog', 'latency']);
    expect(readOptions(['--only=copy', '--json', '--profile'], scenarios)).toMatchObject({
      only: ['copy'],
      json: true,
      profile: true,
    });
    expect(readOptions(['--format', 'packed'], scenarios).messages).toMatchObject([{ name: 'packed' }]);
    expect(readOptions(['--payload', 'key'], scenarios).messages).toMatchObject([{ name: 'key', format: 'json' }]);
  });

  test('name scenarios without --only too; a single one has its figures at the top of the JSON', () => {
    expect(readOptions(['copy', '--rows', '1000'], scenarios)).toMatchObject({
      only: ['copy'],
      isSingle: true,
      rows: 1_000,
    });
    expect(readOptions(['copy', 'backlog'], scenarios)).toMatchObject({ only: ['backlog', 'copy'], isSingle: false });
    expect(readOptions(['--only', 'copy'], scenarios)).toMatchObject({ only: ['copy'], isSingle: false });
    expect(readOptions([], scenarios)).toMatchObject({ only: NAMES, isSingle: false });
  });

  test('take the numbers of readers to compare', () => {
    expect(readOptions([], scenarios).readers).toEqual([1]);
    expect(readOptions(['--readers', '1,2, 4'], scenarios).readers).toEqual([1, 2, 4]);
    expect(refused('--readers', '1,none').text).toContain('It must be a whole number above 0.');
  });

  test('take numbers as people write them', () => {
    expect(readOptions(['--rows', '100_000', '--seconds', '5'], scenarios)).toMatchObject({
      rows: 100_000,
      seconds: 5,
    });
  });

  test.each(['0', '-1', '1.5', 'many', ''])('refuse %j rows', (rows) => {
    const { text, exitCode } = refused('--rows', rows);
    expect(text).toContain('It must be a whole number above 0.');
    expect(exitCode).not.toBe(0);
  });

  test('name the scenarios there are when asked for another', () => {
    expect(refused('--only', 'backlog,speed').text).toContain('no scenario "speed", only backlog, latency, copy');
  });

  test('refuse what they do not know', () => {
    expect(refused('--fast').exitCode).not.toBe(0);
    expect(refused('speed').text).toContain('no scenario "speed"');
  });

  test('tell what each scenario measures, and end well after it', () => {
    const { text, exitCode } = refused('--help');
    for (const { summary } of scenarios) expect(text).toContain(summary);
    expect(exitCode).toBe(0);
  });

  test('know every scenario by one name', () => {
    expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
  });
});
