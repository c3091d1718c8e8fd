import type { Setting } from './setting.js';
import { GROUPS } from './setting.js';
import { SETTINGS } from './table.js';

/** The `.env` that `init` writes: every setting with its meaning, commented out at its default. */
export function renderEnvFile(): string {
  const sections = GROUPS.map((group) => {
    const lines = Object.entries<Setting>(SETTINGS)
      .filter(([, setting]) => setting.group === group)
      .map(
        ([name, setting]) => `# ${setting.description}${unitOf(setting)}\n#${name}=${quoted(setting.default ?? '')}`,
      );
    return `# --- ${group} ---\n\n${lines.join('\n\n')}`;
  });
  return `${HEAD}\n\n${sections.join('\n\n')}\n`;
}

const HEAD = `# Settings of pg2click. Remove the # in front of what you set; what is commented out has the value shown.
# A value with # or blanks goes into single quotes. Secrets may be in files: PG_PASSWORD_FILE=/run/secrets/pg`;

function unitOf({ unit, defaultWords }: Setting): string {
  const words = defaultWords === undefined ? '' : ` Default: ${defaultWords}.`;
  return `${unit === undefined ? '' : ` In ${unit}.`}${words}`;
}

function quoted(value: string): string {
  return /[\s#'"]/u.test(value) ? `'${value}'` : value;
}
