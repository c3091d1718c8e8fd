import type { ServerName } from '../../src/settings/server-name.js';

/**
 * Every port the stack listens on. `kafkaController` is Kafka's own and of no use to a client. Only of a secure stack:
 * `kafkaSsl`, which takes client certificates instead of users, and `temporalPlain`, Temporal itself behind its TLS proxy.
 */
export const PORT_NAMES = [
  'postgres',
  'kafka',
  'kafkaSsl',
  'kafkaController',
  'clickhouse',
  'temporal',
  'temporalPlain',
  'temporalUi',
] as const;

export type PortName = (typeof PORT_NAMES)[number];

export type Ports = Readonly<Record<PortName, number>>;

/** The authority that signed the certificates of a secure stack: PEM, and the file that holds it. */
export interface StackTls {
  readonly ca: string;
  readonly caFile: string;
}

/** Where to reach each server, and as whom. `ssl`: over TLS only. The shapes are those that `pg` and kafkajs take. */
export interface StackAddresses {
  readonly postgres: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly password: string;
    readonly ssl?: StackTls;
  };
  readonly kafka: {
    readonly bootstrap: string;
    readonly ssl?: StackTls;
    readonly sasl?: { readonly mechanism: 'scram-sha-512'; readonly username: string; readonly password: string };
  };
  readonly clickhouse: {
    readonly url: string;
    readonly user: string;
    readonly password: string;
    readonly database: string;
    readonly ssl?: StackTls;
  };
  /** `address` is host:port of the gRPC front end; `uiUrl` is empty for a server whose UI is not known. */
  readonly temporal: {
    readonly address: string;
    readonly namespace: string;
    readonly uiUrl: string;
    readonly ssl?: StackTls;
  };
}

/** Passwords made once for a state folder. */
export interface StackSecrets {
  readonly postgres: string;
  readonly kafka: string;
  readonly clickhouse: string;
}

/** What happens while a stack starts, runs and stops, for those who show it. */
export type StackEvent =
  /** Replaces the server's last step: "downloading Kafka: 31 files". */
  | { readonly kind: 'step'; readonly server: ServerName; readonly text: string }
  /** Worth keeping on the screen. */
  | { readonly kind: 'note'; readonly server: ServerName; readonly text: string }
  | { readonly kind: 'ready'; readonly server: ServerName; readonly elapsedMs: number; readonly external: boolean }
  /** Died without being asked to; `text` says how and names its log. */
  | { readonly kind: 'died'; readonly server: ServerName; readonly text: string }
  | { readonly kind: 'failed'; readonly server: ServerName; readonly text: string }
  | { readonly kind: 'stopped'; readonly server: ServerName };

/** What a server needs to know to run. */
export interface ServerContext {
  /** The server's own data folder. */
  readonly directory: string;
  readonly ports: Ports;
  readonly secrets: StackSecrets;
  /** Of a secure stack: what its servers show. */
  readonly tls: Certificates | undefined;
  readonly signal: AbortSignal;
  /** Reports a step. */
  readonly step: (text: string) => void;
  /** Reports something worth keeping. */
  readonly note: (text: string) => void;
}

/** The certificate of a secure stack's servers, with its key and its authority; PEM. */
export interface Certificates extends StackTls {
  readonly cert: string;
  readonly key: string;
}

/** Something that runs beside a server. */
export interface Closable {
  close(): Promise<void>;
}

/** How to run a server. Without `env` it inherits ours. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** One server: how to make it ready to run, run it, know that it answers, and end it. */
export interface Server<P extends ServerName = ServerName> {
  readonly title: string;
  readonly portNames: readonly PortName[];
  /** The setting that names a server of the user's own instead. */
  readonly setting: string;
  /** Asks for an orderly stop. */
  readonly stopSignal: NodeJS.Signals;
  /** How often a start that exits at once is tried again, at 300 ms. */
  readonly startRetries: number;
  address(ports: Ports, secrets: StackSecrets, tls: StackTls | undefined): StackAddresses[P];
  /** Downloads, builds, formats: all that is done before the process starts; idempotent, and safe to be killed in. */
  prepare(context: ServerContext): Promise<Launch>;
  /** Resolves when the server answers, rejects while it does not yet; with a `Failure` when it never will. */
  probe(context: ServerContext): Promise<void>;
  /** What this process does for the server while it runs; closed before the server ends. */
  startProxy?(context: ServerContext): Promise<Closable | undefined>;
  /** Removes the server's data. */
  wipe(directory: string, secrets: StackSecrets): Promise<void>;
}
