import { connect, type ConnectionOptions } from 'node:tls';
import { explainTls, type TlsTrouble } from '../failure/explain-tls.js';
import type { ServerName } from '../settings/server-name.js';
import type { Settings } from '../settings/settings.js';
import { TLS_NAMES, type Tls } from '../settings/tls.js';

/** As Node's `tls.connect` takes it, and what builds on it: `pg`, kafkajs, `https.Agent`. */
export function nodeTlsOptions({ verify, ca, client }: Tls): ConnectionOptions {
  return {
    rejectUnauthorized: verify !== 'nothing',
    ...(verify === 'full' ? {} : { checkServerIdentity: () => undefined }),
    ...(ca === undefined ? {} : { ca }),
    ...(client === undefined ? {} : { cert: client.cert, key: client.key.reveal() }),
  };
}

/** A server as the settings name it: the ledger has one of its own where LEDGER_PG_URL says so. */
type NamedServer = ServerName | 'ledger';

const FILES: Readonly<Record<NamedServer, { readonly ca: string; readonly cert: string; readonly key: string }>> = {
  ...TLS_NAMES,
  ledger: {
    ca: 'sslrootcert of LEDGER_PG_URL',
    cert: 'sslcert of LEDGER_PG_URL',
    key: 'sslkey of LEDGER_PG_URL',
  },
};

/** The settings of each server for TLS, in words for a remedy. */
const WORDS: Readonly<Record<NamedServer, { address: string; on: string; off: string; otherName: string }>> = {
  postgres: {
    address: 'PG_HOST',
    on: 'PG_SSLMODE=verify-full',
    off: 'PG_SSLMODE=disable',
    otherName: ', or accept any name of that CA with PG_SSLMODE=verify-ca',
  },
  ledger: {
    address: 'LEDGER_PG_URL',
    on: 'sslmode=verify-full in LEDGER_PG_URL',
    off: 'sslmode=disable in LEDGER_PG_URL',
    otherName: ', or accept any name of that CA with sslmode=verify-ca',
  },
  kafka: { address: 'KAFKA_BOOTSTRAP', on: 'KAFKA_TLS=true', off: 'KAFKA_TLS=false', otherName: '' },
  clickhouse: {
    address: 'CH_HOST or CH_URL',
    on: 'CH_TLS=true (or https:// in CH_URL)',
    off: 'CH_TLS=false (or http:// in CH_URL)',
    otherName: '',
  },
  temporal: {
    address: 'TEMPORAL_ADDRESS',
    on: 'TEMPORAL_TLS=true',
    off: 'TEMPORAL_TLS=false',
    otherName: ', or say that name in TEMPORAL_TLS_SERVER_NAME',
  },
};

/** The end of a sentence that begins with a server, and what to do. */
export interface TlsExplained {
  readonly sentence: string;
  readonly remedy: string;
}

/** Why TLS with a server failed, and which settings help; undefined where TLS is not the reason. */
export function explainTlsTo(server: NamedServer, error: unknown, settings: Settings): TlsExplained | undefined {
  const trouble = explainTls(error);
  if (trouble === undefined) return undefined;
  return { sentence: trouble.sentence, remedy: remedyOf(server, trouble, settings) };
}

function remedyOf(server: NamedServer, { fault }: TlsTrouble, settings: Settings): string {
  const where: Readonly<Record<string, string | undefined>> = settings.where;
  const { ca, cert, key } = FILES[server];
  const { address, otherName } = WORDS[server];
  switch (fault) {
    case 'authority':
      return where[ca] === undefined
        ? `Name the file with its CA in ${ca}.`
        : `The CA in ${ca} ${where[ca]} did not sign it: name the file with the one that did.`;
    case 'name':
      return `Write in ${address} a name that its certificate has${otherName}.`;
    case 'dates':
      return 'Renew the certificate of the server, or set the clock of this machine right.';
    case 'client':
      return where[cert] === undefined
        ? `Set ${cert} and ${key}.`
        : `Check the certificate in ${cert} ${where[cert]}: who signed it, and when it ends.`;
    case 'plain':
      return explainTlsMissing(server).remedy;
    case 'other':
      return `Check ${address}, and which versions of TLS the server takes.`;
    default:
      return fault satisfies never;
  }
}

/** For a server that closes the connection on a TLS greeting. */
export function explainTlsMissing(server: NamedServer): TlsExplained {
  const { address, off } = WORDS[server];
  return {
    sentence: 'does not speak TLS on this port',
    remedy: `Check the port in ${address}, or switch TLS off: ${off}.`,
  };
}

/** For a server that closes the connection because we speak without TLS. */
export function explainTlsWanted(server: NamedServer): TlsExplained {
  return {
    sentence: 'speaks TLS on this port, and we do not',
    remedy: `Set ${WORDS[server].on}, and ${FILES[server].ca} where its CA is one of your own.`,
  };
}

const PROBE_MS = 2_000;

/** Whether a server answers to a TLS greeting; never rejects. For explaining a connection without TLS that failed. */
export async function speaksTls(address: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    // Nothing is said over this connection, so there is nothing to verify.
    const socket = connect({ ...address, rejectUnauthorized: false, timeout: PROBE_MS });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('secureConnect', () => end(true));
    socket.once('timeout', () => end(false));
    // A TLS 1.2 server that wants a client certificate says so in TLS, so it speaks TLS.
    socket.once('error', (error) => end(explainTls(error)?.fault === 'client'));
    socket.once('close', () => end(false));
  });
}
