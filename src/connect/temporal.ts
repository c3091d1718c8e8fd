import { connect, isIP } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { Client, Connection, type OperatorService, type TLSConfig } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { Failure } from '../failure/failure.js';
import { GRPC_STATUSES } from '../failure/grpc-statuses.js';
import type { Settings } from '../settings/settings.js';
import { splitHostPort, type HostPort } from './host-port.js';
import { explainTlsTo, explainTlsWanted, speaksTls } from './tls.js';
import { explainNetworkError, nameSettings } from './unreachable.js';

const CONNECT_TIMEOUT_MS = 5_000;

export interface TemporalClient {
  readonly client: Client;
  readonly operator: OperatorService;
  close(): Promise<void>;
}

/**
 * Connects as a client, and looks whether the namespace is there.
 * @throws Failure `TemporalUnavailable`, `Unauthorized` or `Misconfigured`: a sentence with the address and the setting
 */
export async function connectTemporal(settings: Settings): Promise<TemporalClient> {
  const { connection: options, namespace } = settings.temporal;
  let connection: Connection | undefined;
  try {
    await assertListening(settings);
    const opened = await Connection.connect({ ...options.reveal(), connectTimeout: CONNECT_TIMEOUT_MS });
    connection = opened;
    await opened.withDeadline(Date.now() + CONNECT_TIMEOUT_MS, () =>
      opened.workflowService.describeNamespace({ namespace }),
    );
    return {
      client: new Client({ connection: opened, namespace }),
      operator: opened.operatorService,
      close: () => opened.close(),
    };
  } catch (error) {
    await connection?.close().catch(() => undefined);
    throw (await explainHangUp(error, settings)) ?? explainTemporalConnect(error, settings);
  }
}

/** Connects as a worker. `close()` it after its workers have stopped. */
export async function temporalWorkerConnection(settings: Settings): Promise<NativeConnection> {
  try {
    await assertListening(settings);
    // The SDK's native core is loaded by those who work, not by every command.
    const worker = await import('@temporalio/worker');
    return await worker.NativeConnection.connect(settings.temporal.connection.reveal());
  } catch (error) {
    throw (await explainHangUp(error, settings)) ?? explainTemporalConnect(error, settings);
  }
}

/** A server of TLS says nothing to whom speaks without. */
async function explainHangUp(error: unknown, settings: Settings): Promise<Failure | undefined> {
  const { tls } = settings.temporal.connection.reveal();
  const told = [NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED].includes(grpcCode(error) ?? 0);
  if (tls || told || explainNetworkError(error) !== undefined) return undefined;
  if (!(await speaksTls(addressOf(settings)))) return undefined;
  const { sentence, remedy } = explainTlsWanted('temporal');
  const message = `Temporal at ${settings.temporal.address} ${sentence}.`;
  return new Failure('TemporalUnavailable', { message, remedy, cause: error });
}

/**
 * gRPC tells a refused connection, a wrong certificate and a silent server apart only by its text, and after waiting its time
 * out: so the socket is tried first, with TLS where it is wanted, unless a proxy stands between.
 */
async function assertListening(settings: Settings): Promise<void> {
  if (['HTTPS_PROXY', 'https_proxy', 'GRPC_PROXY', 'grpc_proxy', 'http_proxy'].some((name) => process.env[name]))
    return;
  const address = addressOf(settings);
  const tls = settings.temporal.connection.reveal().tls;
  const secure = tls !== undefined && tls !== null && tls !== false;
  await new Promise<void>((resolve, reject) => {
    const socket = secure ? connectTls({ ...address, ...tlsOptions(address.host, tls) }) : connect(address);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => end(resolve), CONNECT_TIMEOUT_MS);
    // A server that wants a certificate says so after the greeting, as its first answer.
    if (secure) socket.once('secureConnect', () => setTimeout(() => end(resolve), ALERT_MS));
    else socket.once('connect', () => end(resolve));
    socket.once('error', (error) => end(() => reject(error)));
  });
}

/** How long after the handshake a TLS 1.3 server may take to refuse the client's certificate. */
const ALERT_MS = 50;

function tlsOptions(host: string, tls: true | TLSConfig): ConnectionOptions {
  const { serverNameOverride, serverRootCACertificate, clientCertPair } = tls === true ? {} : tls;
  const servername = serverNameOverride ?? (isIP(host) === 0 ? host : undefined);
  return {
    ALPNProtocols: ['h2'],
    ...(servername === undefined ? {} : { servername }),
    ...(serverRootCACertificate ? { ca: Buffer.from(serverRootCACertificate) } : {}),
    ...(clientCertPair ? { cert: Buffer.from(clientCertPair.crt), key: Buffer.from(clientCertPair.key) } : {}),
  };
}

function addressOf({ temporal: { address } }: Settings): HostPort {
  return splitHostPort(address, 7_233);
}

/** gRPC status codes that say more than "unavailable". */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
/** @param waitedMs how long the call might take */
export function explainTemporalConnect(error: unknown, settings: Settings, waitedMs = CONNECT_TIMEOUT_MS): Failure {
  const { address, namespace } = settings.temporal;
  const server = `Temporal at ${address}`;
  const code = grpcCode(error);
  if (code === NOT_FOUND) {
    return new Failure('Misconfigured', {
      message: `${server} has no namespace "${namespace}".`,
      remedy: `Create it, or correct ${nameSettings(settings, ['TEMPORAL_NAMESPACE'])}.`,
      cause: error,
    });
  }
  if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) {
    return new Failure('Unauthorized', {
      message: `${server} does not let us into the namespace "${namespace}".`,
      remedy: 'Check TEMPORAL_API_KEY or the client certificate, and TEMPORAL_NAMESPACE.',
      cause: error,
    });
  }
  const tls = explainTlsTo('temporal', error, settings);
  if (tls !== undefined)
    return new Failure('TemporalUnavailable', {
      message: `${server} ${tls.sentence}.`,
      remedy: tls.remedy,
      cause: error,
    });
  const status = code === undefined ? undefined : GRPC_STATUSES[code];
  if (status?.said !== undefined)
    return new Failure(status.kind, {
      message: `${server} ${status.said} (gRPC status ${code} ${status.name}).`,
      remedy: status.remedy ?? (status.kind === 'Unexpected' ? undefined : 'Look at its log.'),
      cause: error,
    });
  return new Failure('TemporalUnavailable', {
    message: `${server} ${explainNetworkError(error) ?? `did not answer within ${waitedMs / 1_000} s`}.`,
    remedy: `Check that Temporal runs there, and ${nameSettings(settings, ['TEMPORAL_ADDRESS'])}.`,
    cause: error,
  });
}

function grpcCode(error: unknown): number | undefined {
  let link: unknown = error;
  for (let depth = 0; depth < 5 && typeof link === 'object' && link !== null; depth++) {
    const { code, cause } = link as { code?: unknown; cause?: unknown };
    if (typeof code === 'number') return code;
    link = cause;
  }
  return undefined;
}
