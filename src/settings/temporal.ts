import { loadClientConnectConfig, type ClientConnectConfig } from '@temporalio/envconfig';
import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';

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
 * @throws Failure `Misconfigured` for an unknown profile or an unreadable file
 */
export function readTemporal(
  variables: Readonly<Record<string, string | undefined>>,
  written: WrittenSettings,
  options: { configFile: boolean },
): TemporalTarget {
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
