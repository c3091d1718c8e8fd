import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';
import { Secret } from './secret.js';
import type { SettingName, SettingValues } from './table.js';
import { readTls, TLS_NAMES, writtenFiles, type Tls, type TlsNames } from './tls.js';

/** Who we are to Kafka. */
export interface Sasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: Secret;
}

/** What keeps each server's connections from others; undefined: nothing does. Temporal's is read by Temporal's own reader. */
export interface Security {
  readonly postgres: Tls | undefined;
  readonly kafka: Tls | undefined;
  readonly sasl: Sasl | undefined;
  readonly clickhouse: Tls | undefined;
  readonly warnings: readonly string[];
}

/**
 * TLS and SASL of all servers. Naming a file switches TLS on where nothing else is said.
 * @throws Failure `Misconfigured` as `readTls`, and for SASL settings that do not make a whole
 */
export function readSecurity(values: SettingValues, written: WrittenSettings, directory: string): Security {
  const warnings: string[] = [];
  const read = (names: TlsNames, given: Pick<Mode, 'name' | 'on'>, verify: Tls['verify']) => {
    const files = writtenFiles(written, names);
    if (given.on ?? files.length > 0) return Object.freeze(readTls(written, names, { verify, directory }));
    if (files.length > 0)
      warnings.push(`${files.join(' and ')} not used: ${told(written, given.name)} switches TLS off.`);
    return undefined;
  };
  const sslmode = readMode(values);
  const postgres = read(TLS_NAMES.postgres, sslmode, sslmode.verify);
  const kafka = read(TLS_NAMES.kafka, { name: 'KAFKA_TLS', on: flag(values.KAFKA_TLS) }, 'full');
  const clickhouse = read(TLS_NAMES.clickhouse, { name: 'CH_TLS', on: flag(values.CH_TLS) }, 'full');
  const sasl = readSasl(values, written);
  if (sasl?.mechanism === 'plain' && kafka === undefined) {
    warnings.push(
      'KAFKA_SASL_MECHANISM is plain and KAFKA_TLS is not true: the password goes over the network for all to read.',
    );
  }
  return { postgres, kafka, sasl, clickhouse, warnings };
}

interface Mode {
  /** The setting that decided. */
  readonly name: SettingName;
  /** Undefined: as the files are written or not. */
  readonly on: boolean | undefined;
  readonly verify: Tls['verify'];
}

/** A Unix socket has no TLS, whatever the mode, as in libpq. */
function readMode({ PG_SSLMODE, PG_HOST }: SettingValues): Mode {
  const name = 'PG_SSLMODE';
  if (PG_HOST.startsWith('/')) return { name: 'PG_HOST', on: false, verify: 'full' };
  switch (PG_SSLMODE) {
    case undefined:
      return { name, on: undefined, verify: 'full' };
    case 'disable':
      return { name, on: false, verify: 'full' };
    case 'no-verify':
      return { name, on: true, verify: 'nothing' };
    case 'verify-ca':
      return { name, on: true, verify: 'authority' };
    // A user who asks for TLS gets all of it: an encrypted line to nobody knows whom is asked for by its own word.
    case 'require':
    case 'verify-full':
      return { name, on: true, verify: 'full' };
    default:
      return PG_SSLMODE satisfies never;
  }
}

function readSasl(values: SettingValues, written: WrittenSettings): Sasl | undefined {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = values;
  const names = ['KAFKA_SASL_MECHANISM', 'KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD'] as const;
  if (mechanism !== undefined && username !== undefined && password !== undefined)
    return Object.freeze({ mechanism, username, password: new Secret(password) });
  const [there] = names.filter((name) => values[name] !== undefined);
  if (there === undefined) return undefined;
  const missing = names.filter((name) => values[name] === undefined);
  throw new Failure('Misconfigured', {
    message: `${told(written, there)} is set without ${missing.join(' and ')}: a user of Kafka needs all three.`,
    remedy: `Set ${missing.join(' and ')}, or remove ${there}.`,
  });
}

function flag(value: 'true' | 'false' | undefined): boolean | undefined {
  return value === undefined ? undefined : value === 'true';
}

function told(written: WrittenSettings, name: SettingName): string {
  return `${name} ${written.get(name)?.where ?? ''}`.trimEnd();
}
