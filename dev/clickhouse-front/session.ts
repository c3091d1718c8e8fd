import type { Session } from 'chdb';
import { run, type Engine } from './engine.js';
import { frontError } from './front-error.js';
import { identifier, literal, preludeSql, type Prelude } from './settings.js';
import type { SessionRequest } from './request.js';

/** A session that is ready for a request's query. `end(true)` when the query left nothing behind in it. */
export interface Lease {
  readonly session: Session;
  end(clean: boolean): Promise<void>;
}

interface Idle {
  readonly session: Session;
  /** What it was told last. */
  readonly prelude: Prelude;
}

const MAX_IDLE = 64;

/**
 * Sessions without a session_id. One is reused only by requests that set the same names, so nothing leaks from one
 * request to the next. Reuse is not only for speed: the library closes a session only after everything that ran in any
 * session at that moment has ended, so beside one long query they would pile up by the hundred.
 */
export class SessionPool {
  readonly #engine: Engine;
  /** Most recently used last. */
  readonly #idle: Idle[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws the engine's error when it refuses a setting, the database or a role */
  async lease(prelude: Prelude): Promise<Lease> {
    const index = this.#idle.findLastIndex((idle) => idle.prelude.key === prelude.key);
    const [idle] = index === -1 ? [] : this.#idle.splice(index, 1);
    const session = idle?.session ?? this.#engine.newSession();
    const sql = preludeSql(prelude, idle?.prelude);
    if (sql !== '') {
      try {
        await run(session, sql, 'Null');
      } catch (error) {
        session.close();
        throw error;
      }
    }
    return {
      session,
      end: async (clean) => {
        if (!clean || prelude.names.includes('readonly')) session.close();
        else this.#keep({ session, prelude });
        return Promise.resolve();
      },
    };
  }

  #keep(idle: Idle): void {
    this.#idle.push(idle);
    if (this.#idle.length > MAX_IDLE) this.#idle.shift()?.session.close();
  }
}

interface Kept {
  readonly session: Session;
  busy: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** Sessions with a session_id: kept between requests, one request at a time, dropped after their timeout. */
export class KeptSessions {
  readonly #engine: Engine;
  readonly #kept = new Map<string, Kept>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws FrontError SESSION_NOT_FOUND, SESSION_IS_LOCKED; the engine's error when it refuses a setting */
  async lease(request: SessionRequest, prelude: Prelude): Promise<Lease> {
    let kept = this.#kept.get(request.id);
    if (kept === undefined && request.check) throw frontError('SESSION_NOT_FOUND', 'Session not found');
    if (kept?.busy === true)
      throw frontError('SESSION_IS_LOCKED', `Session ${request.id} is locked by a concurrent client`);
    kept ??= { session: this.#engine.newSession(), busy: true, timer: undefined };
    this.#kept.set(request.id, kept);
    kept.busy = true;
    clearTimeout(kept.timer);
    const { session } = kept;
    const release = (): void => {
      kept.busy = false;
      kept.timer = setTimeout(() => this.#drop(request.id), request.timeoutMs).unref();
    };
    try {
      // What a URL sets is for its own query only: what the session itself was told must be there again afterwards.
      const sql = preludeSql(prelude);
      const before = sql === '' ? '' : await restoration(session, prelude);
      if (sql !== '') await run(session, sql, 'Null');
      return {
        session,
        end: async () => {
          try {
            if (before !== '') await run(session, before, 'Null');
          } finally {
            release();
          }
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  #drop(id: string): void {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.busy) return;
    this.#kept.delete(id);
    kept.session.close();
  }
}

/** Statements that put back what the prelude is about to change. */
async function restoration(session: Session, prelude: Prelude): Promise<string> {
  const names = prelude.names.map(literal).join(', ');
  const { output } = await run(
    session,
    /* sql */ `select currentDatabase(), name, value, changed from (select * from system.settings where name in ('readonly', ${names || "''"}))`,
    'JSONCompactEachRow',
  );
  const rows = Buffer.from(output)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as [database: string, name: string, value: string, changed: number]);
  const settings = rows
    .filter(([, name]) => prelude.names.includes(name))
    .map(([, name, value, changed]) => `${identifier(name)} = ${changed === 1 ? literal(value) : 'default'}`);
  const database = rows[0]?.[0] ?? 'default';
  return [
    /* sql */ `use ${identifier(database)}`,
    ...(settings.length === 0 ? [] : [/* sql */ `set ${settings.join(', ')}`]),
  ].join('; ');
}
