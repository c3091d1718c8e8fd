import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { generate as Generate } from 'selfsigned';
import { Failure } from '../../src/failure/failure.js';
import type { Certificates } from './server.js';

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Common name and names of the server; 127.0.0.1 and localhost by default. */
  readonly name?: string;
  readonly altNames?: readonly string[];
  /** Days from now; negative for one that has expired. Default a year. */
  readonly days?: number;
}

const DAY = 24 * 60 * 60 * 1_000;
/** A stack that is started with less left gets new ones. */
const RENEW_BEFORE = 30 * DAY;
const ELLIPTIC = { keyType: 'ec', algorithm: 'sha256' } as const;

/** Makes an authority for a local stack or a test: nothing else should ever trust it. */
export async function makeAuthority(name = 'pg2click local stack'): Promise<KeyPair> {
  const { generate } = await library();
  const made = await generate([{ name: 'commonName', value: name }], {
    ...ELLIPTIC,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert: `${made.cert}\n`, key: made.private };
}

/** A certificate for servers and clients, signed by an authority. */
export async function makeCertificate(authority: KeyPair, options: CertificateOptions = {}): Promise<KeyPair> {
  const { generate } = await library();
  const { name = 'localhost', altNames = ['localhost', '127.0.0.1'], days = 365 } = options;
  const notAfterDate = new Date(Date.now() + days * DAY);
  const made = await generate([{ name: 'commonName', value: name }], {
    ...ELLIPTIC,
    ca: authority,
    notBeforeDate: new Date(Math.min(Date.now(), notAfterDate.getTime()) - DAY),
    notAfterDate,
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      {
        name: 'subjectAltName',
        altNames: altNames.map((each) => (/^[\d.]+$|:/u.test(each) ? { type: 7, ip: each } : { type: 2, value: each })),
      },
    ],
  });
  return { cert: `${made.cert}\n`, key: made.private };
}

/** Makes what a state folder lacks, or what ends soon. The authority's key is thrown away: it signs nothing else. */
export async function ensureCertificates(stateDir: string): Promise<Certificates> {
  const folder = join(stateDir, 'tls');
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'server.pem'), key: join(folder, 'server.key') };
  const read = (path: string): string => readFileSync(path, 'utf8');
  const all = () => ({ ca: read(files.ca), caFile: files.ca, cert: read(files.cert), key: read(files.key) });
  // Written last: a start that was killed before it makes all of them again.
  if (existsSync(files.cert)) {
    const there = all();
    if (Date.parse(new X509Certificate(there.cert).validTo) - Date.now() > RENEW_BEFORE) return there;
  }
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const authority = await makeAuthority();
  const made = await makeCertificate(authority);
  writeFileSync(files.ca, authority.cert);
  writeFileSync(files.key, made.key, { mode: 0o600 });
  writeFileSync(files.cert, made.cert);
  return all();
}

/** Only for development, and only for a stack that wants it. */
async function library(): Promise<{ readonly generate: typeof Generate }> {
  try {
    return await import('selfsigned');
  } catch (error) {
    throw new Failure('Misconfigured', {
      message: 'The npm package selfsigned, which makes certificates for a local stack with TLS, is not installed.',
      remedy: 'Run npm ci without --omit=dev, or start the stack without TLS.',
      cause: error,
    });
  }
}
