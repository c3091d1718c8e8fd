import { DatabaseError } from 'pg';
import type { Queryable } from '../../../connect/queryable.js';
import { parseLsn } from '../lsn.js';
import type { Relation } from '../pgoutput.js';
import type { WalTable } from '../state.js';
import { ensureForm, readNames, type Form } from './forms.js';
import { ChangeCount, LogRelation, type WrittenPart } from './log-changes.js';

/** A type that our role may not use, or that is gone: class 42. */
const UNUSABLE = /^42/u;

interface KnownLog {
  readonly count: ChangeCount;
  current: LogRelation;
  /** Where its key and the columns that are left out are, as text. */
  places: string;
}

/** The tables of one reading of the stream of which every change is kept. */
export class LogRelations {
  readonly #source: Queryable;
  readonly #known = new Map<string, KnownLog>();

  /** @param source for statements that stand alone */
  constructor(source: Queryable) {
    this.#source = source;
  }

  /** @param key see `placesOfKey` */
  async of(
    { id, leftOut }: Pick<WalTable, 'id' | 'leftOut'>,
    relation: Relation,
    key: readonly number[] | undefined,
  ): Promise<LogRelation> {
    const known = this.#known.get(id);
    const form = await this.#formOf(id, relation);
    const names = await readNames(this.#source, String(relation.oid), leftOut);
    const skipped = relation.columns.flatMap(({ name }, place) => (names.includes(name) ? [place] : []));
    const places = JSON.stringify([key ?? null, skipped]);
    if (known !== undefined && known.current.columns.form?.form === form?.form && known.places === places)
      return known.current;
    // What is in the outbox is what the reader before has written: who claims the slot waits for its end.
    const count = known?.count ?? new ChangeCount(await this.#readWritten(id));
    const current = new LogRelation(id, { form, key, skipped: new Set(skipped) }, count);
    this.#known.set(id, { count, current, places });
    return current;
  }

  /** @returns undefined where its columns cannot be kept: that parks this table, and no other */
  async #formOf(id: string, { columns }: Relation): Promise<Form | undefined> {
    const names = columns.map(({ name }) => name);
    const types = columns.map(({ type }) => String(type));
    try {
      return await ensureForm(this.#source, id, { names, types });
    } catch (error) {
      if (error instanceof DatabaseError && UNUSABLE.test(error.code ?? '')) return undefined;
      throw error;
    }
  }

  async #readWritten(id: string): Promise<WrittenPart> {
    const found = await this.#source.query<{ commit: string; changes: string }>(
      /* sql */ `select commit::text as commit, changes::text as changes from pg2click.wal_log where table_id = $1`,
      [id],
    );
    const { commit, changes } = found.rows[0] ?? { commit: '0/0', changes: '0' };
    return { commit: parseLsn(commit), changes: Number(changes) };
  }
}
