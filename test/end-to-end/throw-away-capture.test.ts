import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BatchName } from '../../src/domain/batch.js';
import { Changes } from '../../src/domain/change.js';
import { composeVersion } from '../../src/domain/version.js';
import { advanceStage, type StageRow } from '../../src/ledger/stages.js';
import type { BatchSource, SourceState, Written } from '../../src/pipeline/batch.js';
import { Registry } from '../../src/pipeline/registry.js';
import type { RowBatch } from '../../src/pipeline/row-batch.js';
import type { StageContext } from '../../src/pipeline/stage.js';
import type { Capture, CaptureServices } from '../../src/source/capture.js';
import { openPath, type Path } from '../support/path.js';

/*
 * What a new capture takes: this file, and its name in a registry. The "table" is a sequence: each number that was drawn is a row.
 */

interface Numbers extends BatchName {
  readonly first: number;
  readonly last: number;
}
type NumbersRow = StageRow<{ readonly last?: number }, Numbers>;

class NumbersSource implements BatchSource<Numbers, RowBatch> {
  readonly isFinished = false;
  readonly pending: Numbers | undefined;
  #batch: number;
  #last: number;

  readonly services: CaptureServices;
  readonly stage: StageContext<NumbersRow>;

  constructor(services: CaptureServices, stage: StageContext<NumbersRow>) {
    this.services = services;
    this.stage = stage;
    this.pending = stage.row.pending ?? undefined;
    this.#batch = stage.row.batch;
    this.#last = stage.row.position.last ?? 0;
  }

  verify = (): Promise<void> => Promise.resolve();

  async nameNext(): Promise<Numbers | undefined> {
    const { name, generation, shape } = this.stage.table;
    const drawn = await this.services.source.query<{ last: number }>(
      `select last_value::int as last from public.${name.table}`,
    );
    const last = drawn.rows[0]?.last ?? 0;
    if (last <= this.#last) return undefined;
    const named = { batch: this.#batch + 1, generation, shape, first: this.#last + 1, last };
    await advanceStage(this.services.ledger, this.stage.claim, null, named);
    return named;
  }

  read = ({ generation, first, last }: Numbers): RowBatch => ({
    changes: changesOf(generation, first, last),
    durable: () => Promise.resolve(),
  });

  async confirm({ batch, last }: Numbers, { rows, bytes, proof }: Written): Promise<undefined> {
    await advanceStage(this.services.ledger, this.stage.claim, { batch, position: { last }, proof, rows, bytes }, null);
    this.#batch = batch;
    this.#last = last;
  }

  state = (): SourceState => ({
    moved: `..${this.#last}`,
    waiting: 0,
    lagSeconds: 0,
    checkpoint: { batch: this.#batch, highest: String(this.#last) },
  });

  [Symbol.asyncDispose] = (): Promise<void> => Promise.resolve();
}

async function* changesOf(generation: number, first: number, last: number): AsyncGenerator<Changes> {
  for (let n = first; n <= last; n++) {
    const [seq, key] = [String(n), `[${n}]`];
    const value = `{"n":${n},"_version":"${composeVersion(generation, BigInt(n), 1n)}","_deleted":0}`;
    const changes = new Changes(Buffer.from(seq + key + value));
    const [keyAt, valueAt] = [seq.length, seq.length + key.length];
    changes.push(0, keyAt, keyAt, valueAt, valueAt, valueAt + value.length);
    yield changes;
  }
}

const numbers: Capture = {
  kind: 'numbers',
  inspect: async (pg, { table }) => ({
    relation:
      (await pg.query<{ oid: string }>(`select 'public.${table}'::regclass::oid::text as oid`)).rows[0]?.oid ?? '',
    columns: [{ name: 'n', position: 1, type: 'bigint', nullable: false }],
    key: ['n'],
    estimatedRows: null,
    capture: { kind: 'numbers' },
  }),
  install: () => Promise.resolve(''),
  remove: () => Promise.resolve(),
  installationOf: () => '',
  allocatePosition: () => Promise.resolve('0'),
  open: (services, stage) =>
    new NumbersSource(services, stage as StageContext<NumbersRow>) as BatchSource<BatchName, RowBatch>,
};

let path: Path;
beforeAll(async () => {
  path = await openPath({ captures: new Registry<Capture>('capture', [numbers]) });
});
afterAll(() => path.close());

it('a capture that is added moves its rows by the loop, the topic and the loader that are there', async () => {
  await path.source.query('create sequence ticket; grant select on ticket to public; select nextval($$ticket$$)');
  const followed = await path.add('ticket', { capture: 'numbers' });
  await followed.settle();
  expect(await followed.sink('select count(), max(n) from {current}')).toBe('1\t1');
  await path.source.query(`select nextval('ticket') from generate_series(1, 2499)`);
  await followed.settle();
  expect(await followed.sink('select count(), sum(n) from {current}')).toBe('2500\t3126250');
});
