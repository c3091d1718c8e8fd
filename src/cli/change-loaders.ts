import { randomUUID } from 'node:crypto';
import chalk from 'chalk';
import { parseTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { urlNameOf } from '../settings/clickhouse-name.js';
import type { TableRequest } from '../control/send-command.js';
import type { Exit } from './exit-code.js';
import { requestChange } from './request-change.js';
import { sendRequest } from './request.js';
import { withTemporal } from './servers.js';
import type { Session } from './session.js';

export function addLoader(
  session: Session,
  table: string,
  name: string,
  { target, server }: { readonly target?: string; readonly server?: string },
): Promise<Exit> {
  if (server !== undefined) requireServer(session, server.toLowerCase());
  const message = {
    name,
    ...(target === undefined ? {} : { target }),
    ...(server === undefined ? {} : { server: server.toLowerCase() }),
  };
  return makeChange(session, table, { action: 'addLoader', message });
}

/** The workers would wait for it for ever. @throws Failure `Misconfigured` */
function requireServer({ settings }: Session, server: string): void {
  if (Object.hasOwn(settings.clickhouses, server)) return;
  const known = Object.keys(settings.clickhouses);
  throw new Failure('Misconfigured', {
    message: `The settings name no ClickHouse server "${server}"${known.length === 0 ? '' : `: they name ${known.join(', ')}`}.`,
    remedy: `Set ${urlNameOf(server)} here and for every worker, restart the workers, then add the loader.`,
  });
}

export function removeLoader(
  session: Session,
  table: string,
  name: string,
  { dropTarget = false }: { readonly dropTarget?: boolean },
): Promise<Exit> {
  return makeChange(session, table, {
    action: 'removeLoader',
    message: { name, ...(dropTarget ? { dropTarget } : {}) },
  });
}

export function pauseLoader(
  session: Session,
  table: string,
  name: string,
  { reason }: { readonly reason?: string },
): Promise<Exit> {
  const message = { name, ...(reason === undefined ? {} : { reason }) };
  return sendRequest(session, table, { action: 'pauseLoader', message });
}

export function resumeLoader(session: Session, table: string, name: string, _options: object): Promise<Exit> {
  return sendRequest(session, table, { action: 'resumeLoader', message: { name } });
}

/** Sends a request, and waits until what it asks for is made or refused. */
export async function makeChange(
  session: Session,
  table: string,
  request: Pick<TableRequest, 'action' | 'message'>,
): Promise<Exit> {
  const name = parseTableName(table);
  return withTemporal(session, async ({ client }) => {
    const outcome = await requestChange(session, client, name, { ...request, requestId: randomUUID() });
    if (typeof outcome === 'string') return outcome;
    session.print(session.json ? JSON.stringify(outcome) : `${chalk.green('✔')} ${outcome.message}`);
    return 'done';
  });
}
