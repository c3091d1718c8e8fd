import { createServer } from 'node:net';

/** A port of this machine that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

export interface Probed<Body> {
  readonly status: number;
  readonly body: Body;
}

export interface Readiness {
  readonly ready: boolean;
  readonly worker: string;
  readonly problems: readonly { readonly what: string; readonly kind?: string; readonly message: string }[];
}

export async function probe<Body>(port: number, path: string): Promise<Probed<Body>> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000) });
  return { status: response.status, body: (await response.json()) as Body };
}
