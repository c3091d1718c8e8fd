import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';
import { SETTINGS, SETTING_NAMES, type SettingName, type SettingValues } from './table.js';

/**
 * Every setting as its type, the defaults included.
 * @throws Failure `Misconfigured`: the first value that is not what its setting expects, and where it is written
 */
export function readValues(written: WrittenSettings): SettingValues {
  const values: Partial<Record<SettingName, unknown>> = {};
  for (const name of SETTING_NAMES) {
    const { kind, secret, default: fallback } = SETTINGS[name];
    const source = written.get(name) ?? (fallback === undefined ? undefined : { value: fallback, where: 'by default' });
    if (source === undefined) continue;
    const read = kind.schema.safeParse(source.value);
    if (!read.success) {
      throw new Failure('Misconfigured', {
        message: `${name} ${source.where} is ${secret ? 'not valid' : `"${source.value}"`}: expected ${kind.expected}.`,
        remedy: `Correct ${name}.`,
      });
    }
    values[name] = read.data;
  }
  return values as SettingValues;
}
