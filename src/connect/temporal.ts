import { connect } from 'node:net';
import { Client, Connection, type OperatorService } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { Failure } from '../failure/failure.js';
import type { Settings } from '../settings/settings.js';
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
    await assertListening(settings.temporal.address);
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
    throw explainTemporalConnect(error, settings);
  }
}

/** Connects as a worker. `close()` it after its workers have stopped. */
export async function temporalWorkerConnection(settings: Settings): Promise<NativeConnection> {
  try {
    await assertListening(settings.temporal.address);
    // The SDK's native core is loaded by those who work, not by every command.
    const worker = await import('@temporalio/worker');
    return await worker.NativeConnection.connect(settings.temporal.connection.reveal());
  } catch (error) {
    throw explainTemporalConnect(error, settings);
  }
}

/**
 * gRPC tells a refused connection from a silent one only by its text, and after waiting its time out: so the socket is tried
 * first, unless a proxy stands between.
 */
async function assertListening(address: string): Promise<void> {
  if (['HTTPS_PROXY', 'https_proxy', 'GRPC_PROXY', 'grpc_proxy', 'http_proxy'].some((name) => process.env[name]))
    return;
  const [, host, port] = /^\[?(.*?)\]?(?::(\d+))?$/u.exec(address) ?? [];
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: host ?? 'localhost', port: Number(port ?? 7_233) });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => end(resolve), CONNECT_TIMEOUT_MS);
    socket.once('connect', () => end(resolve)).once('error', (error) => end(() => reject(error)));
  });
}

/** gRPC status codes that say more than "unavailable". */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

export function explainTemporalConnect(error: unknown, settings: Settings): Failure {
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
  return new Failure('TemporalUnavailable', {
    message: `${server} ${explainNetworkError(error) ?? `did not answer within ${CONNECT_TIMEOUT_MS / 1_000} seconds`}.`,
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
