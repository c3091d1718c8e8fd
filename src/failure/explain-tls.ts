import { errorChain } from './error-chain.js';

/** Why TLS with a server failed. */
export interface TlsTrouble {
  readonly fault: 'authority' | 'dates' | 'name' | 'client' | 'plain' | 'other';
  /** The end of a sentence that begins with a server's name and address. */
  readonly sentence: string;
}

const AUTHORITY = { fault: 'authority', sentence: 'shows a certificate whose authority is not trusted here' } as const;
const CLIENT = { fault: 'client', sentence: 'wants a client certificate that it trusts' } as const;
const PLAIN = { fault: 'plain', sentence: 'does not speak TLS on this port' } as const;

/** By the codes of Node and OpenSSL. */
const BY_CODE: Readonly<Record<string, TlsTrouble>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: AUTHORITY,
  CERT_SIGNATURE_FAILURE: AUTHORITY, // another CA of the same name
  CERT_HAS_EXPIRED: { fault: 'dates', sentence: 'shows a certificate that has expired' },
  CERT_NOT_YET_VALID: { fault: 'dates', sentence: 'shows a certificate that is not valid yet' },
  ERR_TLS_CERT_ALTNAME_INVALID: { fault: 'name', sentence: 'shows a certificate that is not for its name' },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: CLIENT,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: CLIENT,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: CLIENT,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: CLIENT,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: CLIENT,
  // Servers with TLS 1.2 answer so if the client certificate is missing.
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: CLIENT,
  ERR_SSL_WRONG_VERSION_NUMBER: PLAIN,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: PLAIN,
};

/** What an error of a TLS connection means, or undefined where TLS is not the reason. */
export function explainTls(error: unknown): TlsTrouble | undefined {
  for (const link of errorChain(error)) {
    const { code, cert, host } = link as { code?: unknown; cert?: unknown; host?: unknown };
    if (typeof code !== 'string') continue;
    const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
    if (known?.fault === 'name') return { ...known, sentence: namesIn(cert, host) ?? known.sentence };
    if (known !== undefined) return known;
    if (code === 'EPROTO' || /^ERR_(?:SSL|TLS|OSSL)_/u.test(code))
      return { fault: 'other', sentence: `could not agree on TLS with us (${code})` };
  }
  return undefined;
}

/** Undefined if the error has lost them: some clients keep only its code. */
function namesIn(cert: unknown, host: unknown): string | undefined {
  const { subjectaltname } = (typeof cert === 'object' && cert !== null ? cert : {}) as { subjectaltname?: unknown };
  if (typeof subjectaltname !== 'string' || typeof host !== 'string') return undefined;
  return `shows a certificate for ${subjectaltname.replaceAll(/(?:DNS|IP Address):/gu, '')}, not for ${host}`;
}
