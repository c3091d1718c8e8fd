import { lookup } from 'node:dns/promises';
import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { splitHostPort } from '../connect/host-port.js';
import { Failure } from '../failure/failure.js';
import type { SettingName } from '../settings/table.js';

/**
 * Listens where a setting says.
 * @throws Failure `Misconfigured`: a sentence with the address and the setting
 */
export async function listen(server: Server, address: string, setting: SettingName): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(splitHostPort(address), () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
  } catch (error) {
    throw explainListen(error, address, setting);
  }
}

/**
 * An address on which the SDK can listen: it takes no host names, and its errors name neither address nor setting.
 * @returns `ip:port`
 * @throws Failure `Misconfigured` where nobody could listen there
 */
export async function freeAddress(address: string, setting: SettingName): Promise<string> {
  const { host, port } = splitHostPort(address);
  const trial = createServer();
  await listen(trial, address, setting);
  await new Promise((resolve) => trial.close(resolve));
  const { address: ip, family } = await lookup(host);
  return family === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there already',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'ports below 1024 are not for this user',
  ENOTFOUND: 'there is no host of that name',
};

function explainListen(error: unknown, address: string, setting: SettingName): Failure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new Failure('Misconfigured', {
    message: `Cannot listen on ${address} (${setting}): ${REASONS[code] ?? (code || 'the system refuses it')}.`,
    remedy: `Choose another ${setting}, or leave it empty to do without.`,
    cause: error,
  });
}
