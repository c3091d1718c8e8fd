import { loadClientConnectConfig, type ClientConnectConfig } from '@temporalio/envconfig';
import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';
import { readTls, TLS_NAMES } from './tls.js';

/** How to reach Temporal, as its own CLI would: from TEMPORAL_ names and its configuration file. */
export type TemporalConnection = ClientConnectConfig['connectionOptions'];

/** A Temporal address with the namespace on it. */
export interface TemporalTarget {
  readonly address: string;
  readonly namespace: string;
  readonly connection: TemporalConnection;
  /** Whether anything but the default said where the server is. */
  readonly found: boolean;
}

/**
 * @param variables every TEMPORAL_ name, also those that our table does not know (gRPC metadata, TLS data)
 * @param options.configFile false leaves the Temporal CLI's own configuration file alone
 * @throws Failure `Misconfigured` for an unknown profile, an unreadable file, a key that does not fit its certificate
 */
export function readTemporal(
  variables: Readonly<Record<string, string | undefined>>,
  written: WrittenSettings,
  options: { configFile: boolean; directory: string },
): TemporalTarget {
  // Its own reader would say of a wrong file only what the system says of it. What comes as data is Temporal's affair.
  if (!Object.keys(variables).some((name) => /^TEMPORAL_TLS_.*_DATA$/u.test(name)))
    readTls(written, TLS_NAMES.temporal, { verify: 'full', directory: options.directory });
  const merged: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) {
    // The default place of the configuration file depends on these.
    if (value !== undefined && value !== '' && /^(?:TEMPORAL_|HOME$|XDG_CONFIG_HOME$|APPDATA$)/u.test(name))
      merged[name] = value;
  }
  for (const [name, { value }] of written) if (name.startsWith('TEMPORAL_')) merged[name] = value;
  let loaded: ClientConnectConfig;
  try {
    loaded = loadClientConnectConfig({ overrideEnvVars: merged, disableFile: !options.configFile });
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error';
    throw new Failure('Misconfigured', {
      message: `The settings of Temporal cannot be read: ${reason.replace(/\.$/u, '')}.`,
      remedy: 'Look at TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the TEMPORAL_TLS_ names.',
      cause: error,
    });
  }
  const address = loaded.connectionOptions.address ?? 'localhost:7233';
  return {
    address,
    namespace: loaded.namespace ?? 'default',
    connection: { ...loaded.connectionOptions, address },
    found: loaded.connectionOptions.address !== undefined,
  };
}
