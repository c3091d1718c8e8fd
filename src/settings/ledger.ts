import { Failure } from '../failure/failure.js';
import type { Written, WrittenSettings } from './layer.js';
import { postgresServer, type PostgresServer } from './postgres-server.js';
import { readValues } from './read-values.js';
import { readSecurity } from './security.js';
import type { SettingName } from './table.js';
import { expandPostgresUrl } from './url.js';

/**
 * The database of the ledger, where the settings name one of its own. What its URL leaves out has the defaults of the PG_ settings,
 * never the values that somebody gave them: the role and the password of the tables are not shown to another server.
 * @throws Failure `Misconfigured`
 */
export function readLedgerServer(written: WrittenSettings, directory: string): PostgresServer | undefined {
  const url = written.get('LEDGER_PG_URL');
  const password = written.get('LEDGER_PG_PASSWORD');
  if (url === undefined) {
    if (password === undefined) return undefined;
    throw new Failure('Misconfigured', {
      message: `LEDGER_PG_PASSWORD ${password.where} is set without LEDGER_PG_URL.`,
      remedy: 'Set LEDGER_PG_URL, or remove LEDGER_PG_PASSWORD.',
    });
  }
  const pieces = new Map<SettingName, Written>(expandPostgresUrl('LEDGER_PG_URL', url));
  if (password !== undefined) {
    if (pieces.has('PG_PASSWORD') && pieces.get('PG_PASSWORD')?.value !== password.value)
      throw new Failure('Misconfigured', {
        message: `LEDGER_PG_PASSWORD ${password.where} and LEDGER_PG_URL ${url.where} contradict each other.`,
        remedy: 'Remove one of the two passwords.',
      });
    pieces.set('PG_PASSWORD', password);
  }
  const values = readValues(pieces);
  return Object.freeze({
    ...postgresServer(values, readSecurity(values, pieces, directory).postgres),
    setting: 'LEDGER_PG_URL' as const,
  });
}
