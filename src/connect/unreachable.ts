import { errorChain } from '../failure/error-chain.js';
import { NODE_CODES } from '../failure/node-codes.js';
import type { Settings } from '../settings/settings.js';
import type { SettingName } from '../settings/table.js';

/** What kind of trouble keeps a connection from being opened, or undefined where the network is not the reason. */
export function explainNetworkError(error: unknown): string | undefined {
  for (const link of errorChain(error)) {
    const code = (link as { code?: unknown }).code;
    if (typeof code === 'string' && Object.hasOwn(NODE_CODES, code)) return NODE_CODES[code];
  }
  return undefined;
}

/** "PG_HOST and PG_PORT in .env": the settings to look at, and where they are written. */
export function nameSettings(settings: Settings, names: readonly SettingName[]): string {
  const places = new Map<string, SettingName[]>();
  for (const name of names) {
    const where = settings.where[name] ?? '(not set)';
    places.set(where, [...(places.get(where) ?? []), name]);
  }
  // Nobody said where the server is: perhaps none was ever started.
  if (names.length > 0 && places.get('(not set)')?.length === names.length)
    return `${names.join(' and ')} (not set), or start servers for trying out with "pg2click dev"`;
  return [...places].map(([where, there]) => `${there.join(' and ')} ${where}`).join(', ');
}
