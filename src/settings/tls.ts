import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';
import { Secret } from './secret.js';
import type { SettingName } from './table.js';

/** How a server's certificate is looked at, and what is shown to a server that asks for one. PEM, read at the start. */
export interface Tls {
  /** `full`: authority and name; `authority`: any name; `nothing`: encrypted, with whomever it may be. */
  readonly verify: 'full' | 'authority' | 'nothing';
  /** Replaces what Node trusts; undefined: what Node trusts, NODE_EXTRA_CA_CERTS included. */
  readonly ca: string | undefined;
  readonly client: { readonly cert: string; readonly key: Secret } | undefined;
}

/** The settings that name the files. */
export interface TlsNames {
  readonly ca: SettingName;
  readonly cert: SettingName;
  readonly key: SettingName;
}

export const TLS_NAMES = {
  postgres: { ca: 'PG_SSLROOTCERT', cert: 'PG_SSLCERT', key: 'PG_SSLKEY' },
  kafka: { ca: 'KAFKA_TLS_CA', cert: 'KAFKA_TLS_CERT', key: 'KAFKA_TLS_KEY' },
  clickhouse: { ca: 'CH_TLS_CA', cert: 'CH_TLS_CERT', key: 'CH_TLS_KEY' },
  temporal: {
    ca: 'TEMPORAL_TLS_SERVER_CA_CERT_PATH',
    cert: 'TEMPORAL_TLS_CLIENT_CERT_PATH',
    key: 'TEMPORAL_TLS_CLIENT_KEY_PATH',
  },
} as const satisfies Record<string, TlsNames>;

/** The settings of files that are written, although TLS may be off. */
export function writtenFiles(written: WrittenSettings, names: TlsNames): SettingName[] {
  return [names.ca, names.cert, names.key].filter((name) => written.has(name));
}

/**
 * Reads the files, and makes sure that they are what they should be: a connection would only say that it failed.
 * @throws Failure `Misconfigured` for a file that cannot be read or is no PEM, a certificate without its key, or with another's
 */
export function readTls(
  written: WrittenSettings,
  names: TlsNames,
  { verify, directory }: { readonly verify: Tls['verify']; readonly directory: string },
): Tls {
  const file = (name: SettingName): PemFile | undefined => {
    const source = written.get(name);
    // libpq's word for the CAs that are there anyway.
    if (source === undefined || (name === names.ca && source.value === 'system')) return undefined;
    const told = `${source.value}, which ${name} ${source.where} names,`;
    return { text: readFile(resolve(directory, source.value), told), told };
  };
  const ca = file(names.ca);
  const cert = file(names.cert);
  const key = file(names.key);
  if (ca !== undefined) assertCertificates(ca);
  if (cert === undefined && key === undefined) return { verify, ca: ca?.text, client: undefined };
  if (cert === undefined || key === undefined) {
    const [there, missing] = cert === undefined ? [names.key, names.cert] : [names.cert, names.key];
    throw new Failure('Misconfigured', {
      message: `${there} ${written.get(there)?.where ?? ''} is set without ${missing}: a client certificate and its key go together.`,
      remedy: `Set ${missing}, or remove ${there}.`,
    });
  }
  assertCertificates(cert);
  if (!new X509Certificate(cert.text).checkPrivateKey(privateKey(key))) {
    throw new Failure('Misconfigured', {
      message: `The private key in ${key.told} does not belong to the certificate in ${cert.told.replace(/,$/u, '')}.`,
      remedy: 'Name the two that were made for each other; in a file with several, the client certificate comes first.',
    });
  }
  return { verify, ca: ca?.text, client: { cert: cert.text, key: new Secret(key.text) } };
}

interface PemFile {
  readonly text: string;
  /** "ca.pem, which KAFKA_TLS_CA in .env names," */
  readonly told: string;
}

function readFile(path: string, told: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new Failure('Misconfigured', {
      message: `The file ${told} cannot be read (${code}).`,
      remedy: 'Correct the path, or let the user that pg2click runs as read it.',
      cause: error,
    });
  }
}

/** Each of them is looked at: one that is broken would be passed over in silence. */
function assertCertificates({ text, told }: PemFile): void {
  const blocks = text.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^]*?-----END[^\n]*/gu) ?? [];
  try {
    if (blocks.length > 0) return blocks.forEach((block) => new X509Certificate(block));
  } catch {
    // Told below.
  }
  throw new Failure('Misconfigured', {
    message: `The file ${told} does not hold a certificate in PEM form.`,
    remedy: 'It begins with -----BEGIN CERTIFICATE-----; one in DER form becomes PEM with: openssl x509 -inform der',
  });
}

function privateKey({ text, told }: PemFile): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const encrypted = error instanceof Error && 'code' in error && error.code === 'ERR_MISSING_PASSPHRASE';
    throw new Failure('Misconfigured', {
      message: `The file ${told} ${encrypted ? 'holds a private key with a passphrase, which nobody could type in' : 'does not hold a private key in PEM form'}.`,
      remedy: encrypted
        ? 'Take it off (openssl pkey), and let only the user that pg2click runs as read the file.'
        : 'It begins with -----BEGIN PRIVATE KEY----- or the like.',
    });
  }
}
