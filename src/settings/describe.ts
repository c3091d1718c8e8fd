import type { Setting } from './setting.js';
import { GROUPS } from './setting.js';
import { SETTINGS } from './table.js';

/** The settings as `--help` lists them: names and defaults; the documentation says more. */
export function describeSettings(): string {
  const groups = GROUPS.map((group) => {
    const names = Object.entries<Setting>(SETTINGS)
      .filter(([, setting]) => setting.group === group)
      .map(([name, setting]) => `${name}${setting.default === undefined ? '' : ` (${setting.default})`}`);
    return `  ${group.padEnd(11)}${wrap(names, 86).join(`,\n${' '.repeat(13)}`)}`;
  });
  return [
    'Settings, with their defaults: from the environment, over .env, over a running "pg2click dev".',
    ...groups,
    '  Secrets may be in files: PG_PASSWORD_FILE=/run/secrets/pg. All of it: docs/07-settings.md',
  ].join('\n');
}

function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 2 + word.length <= width) lines[lines.length - 1] = `${line}, ${word}`;
    else lines.push(word);
  }
  return lines;
}
