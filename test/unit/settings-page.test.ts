import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { describeSettings } from '../../src/settings/describe.js';
import { renderEnvFile } from '../../src/settings/env-template.js';
import type { Setting } from '../../src/settings/setting.js';
import { renderSettingsPage } from '../../src/settings/settings-page.js';
import { SETTINGS, SETTING_NAMES } from '../../src/settings/table.js';

const PAGE = join(packageRoot, 'docs', '07-settings.md');

// To write the page anew after a change of the table: npx vitest run settings-page --update
it('the page of settings says what the table of settings says', async () => {
  const page = await format(renderSettingsPage(), { ...(await resolveConfig(PAGE)), parser: 'markdown' });
  await expect(page).toMatchFileSnapshot(PAGE);
});

it('--help names every setting', () => {
  const text = describeSettings();
  for (const name of SETTING_NAMES) expect(text).toMatch(new RegExp(`\\b${name}\\b`, 'u'));
});

it('the .env that init writes sets nothing, and holds every default when its comments are lifted', () => {
  const file = renderEnvFile();
  expect(parseEnv(file)).toEqual({});
  const lifted = parseEnv(file.replaceAll(/^#(?=[A-Z])/gmu, ''));
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) expect(lifted[name]).toBe(setting.default ?? '');
});

it('every default is a valid value', () => {
  for (const { kind, default: fallback } of Object.values<Setting>(SETTINGS))
    if (fallback !== undefined) expect(kind.schema.safeParse(fallback).success).toBe(true);
});
