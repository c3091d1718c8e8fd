import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChdbResult, Session } from 'chdb';
import { literal } from './settings.js';

/** What the engine reports about one statement. */
export interface Outcome {
  readonly rows: number;
  readonly bytes: number;
  readonly elapsedNs: number;
  readonly output: Uint8Array;
}

export interface Identity {
  readonly version: string;
  readonly timezone: string;
  readonly displayName: string;
}

/**
 * ClickHouse in this process, over one data directory. Sessions are independent connections to it and run in parallel;
 * one session runs one statement at a time. A crash loses nothing that was acknowledged: an insert's part is in place
 * before its statement returns.
 */
export class Engine {
  readonly identity: Identity;
  readonly #open: () => Session;
  readonly #control: Session;
  // One session, one statement at a time.
  #kills: Promise<unknown> = Promise.resolve();

  private constructor(open: () => Session, control: Session, identity: Identity) {
    this.#open = open;
    this.#control = control;
    this.identity = identity;
  }

  /** @throws Error one sentence when the directory is held by another process, or the engine does not come up */
  static async start(directory: string, config?: string): Promise<Engine> {
    // Half a gigabyte, and a devDependency: only who starts a front loads it.
    const { Session: EngineSession } = await import('chdb');
    const options = config === undefined ? undefined : { connectionArgs: [`--config-file=${config}`] };
    const open = (): Session => new EngineSession(directory, options);
    let control: Session;
    try {
      control = open();
    } catch (error) {
      throw new Error(`Cannot open the data directory ${directory}: ${holderOf(directory) ?? String(error)}`, {
        cause: error,
      });
    }
    const answer = await control.queryAsync(/* sql */ `select version(), timezone(), displayName()`, {
      format: 'JSONCompactEachRow',
    });
    const [version, timezone, displayName] = answer.json<[string, string, string]>();
    return new Engine(open, control, { version, timezone, displayName });
  }

  newSession(): Session {
    return this.#open();
  }

  /** Cancels what carries this mark in its text. SYNC would hang: the statement that kills and the killed one share locks. */
  async kill(mark: string): Promise<void> {
    const kill = this.#kills.then(async () =>
      run(
        this.#control,
        /* sql */ `kill query where position(query, ${literal(mark)}) > 0 and query_id != queryID() async`,
        'Null',
      ),
    );
    this.#kills = kill.catch(() => undefined);
    await kill;
  }

  close(): void {
    this.#control.close();
  }
}

/** Runs one statement, or several of ours joined by semicolons. */
export async function run(session: Session, sql: string, format: string): Promise<Outcome> {
  const result: ChdbResult = await session.queryAsync(sql, { format });
  return {
    rows: result.rowsRead,
    bytes: result.bytesRead,
    elapsedNs: Math.round(result.elapsed * 1e9),
    output: result.bytes(),
  };
}

/** Who holds the directory, from the file that the engine itself locks. */
function holderOf(directory: string): string | undefined {
  try {
    const pid = Number(/^PID: (\d+)$/m.exec(readFileSync(join(directory, 'status'), 'utf8'))?.[1]);
    process.kill(pid, 0);
    return pid === process.pid
      ? undefined
      : `process ${pid} already uses it; stop that process or choose another --path`;
  } catch {
    return undefined;
  }
}
