import { literal } from './settings.js';
import type { Statement } from './statement.js';

/** `KILL QUERY WHERE query_id = '..'`, for ids that clients gave: the engine does not know those. */
export interface KillRequest {
  readonly queryId: string;
  /** SYNC: wait until the query has ended. The front waits, since the engine's own SYNC never returns. */
  readonly wait: boolean;
}

const KILL = /^\s*kill\s+query\s+where\s+query_id\s*=\s*'([^'\\]*)'\s*(sync|async)?\s*(?:format\s+\w+\s*)?$/i;

/** Carries out a KILL QUERY by id and returns the select that shows what it did; any other statement as it is. */
export async function killedQuery(
  statement: Statement,
  kill: (request: KillRequest) => Promise<boolean>,
): Promise<Statement> {
  if (statement.kind !== 'command') return statement;
  const [, queryId, mode] = KILL.exec(statement.sql) ?? [];
  if (queryId === undefined) return statement;
  const wait = mode?.toLowerCase() === 'sync';
  const found = await kill({ queryId, wait });
  const status = literal(wait ? 'finished' : 'waiting');
  return {
    kind: 'output',
    body: /* sql */ `select ${status} as kill_status, ${literal(queryId)} as query_id, currentUser() as user, '' as query where ${found ? 1 : 0}`,
    format: statement.format,
    tail: '',
  };
}
