import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pg from 'pg';
import { expect } from 'vitest';
import { openDeps, type Deps } from '../../activities/deps.js';
import { changeRoute } from '../../activities/change-route.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { directSlice } from '../../activities/direct-slice.js';
import { prepareTable } from '../../activities/prepare-table.js';
import { publishSlice } from '../../activities/publish-slice.js';
import { stopEngine } from '../../activities/stop-engine.js';
import { watchEngine } from '../../activities/watch-engine.js';
import { removeTable } from '../../activities/remove-table.js';
import { compareTable, isEqual, type Comparison } from '../../dev/compare/compare.js';
import type {
  ChangeReceipt,
  Checkpoint,
  CopyReceipt,
  PrepareReceipt,
  RemoveReceipt,
  SliceReceipt,
  SliceRequest,
  TableAddress,
} from '../../src/domain/receipt.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { stagesOf, FIRST_ROUTE, type StageActivity, type StageId } from '../../src/domain/route.js';
import type { ChangeStep, RouteOptions } from '../../src/domain/route-change.js';
import { parseTableName, type TableName } from '../../src/domain/table-name.js';
import type { Registry } from '../../src/pipeline/registry.js';
import type { Capture } from '../../src/source/capture.js';
import { connectPostgres, ledgerSettings } from '../../src/connect/postgres.js';
import { bindLedger } from '../../src/ledger/binding.js';
import { migrateLedger, migrateSource } from '../../src/ledger/migrate.js';
import { createLogger } from '../../src/observe/log.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { again } from './again.js';
import { environmentOf } from './clients.js';
import { leastRole, ledgerRole, letReadWal, selectRole } from './least-role.js';
import { addressOf, freshDatabase, freshName, freshSink, type PostgresAddress } from './stack.js';

/**
 * The path over real servers with a database of its own on each side; its activities run one by one, here, as the role that
 * pg2click is documented to need and no more.
 */
export interface Path {
  readonly settings: Settings;
  /** What they were made of. */
  readonly env: Readonly<Record<string, string>>;
  readonly deps: Deps;
  /** The user's session in PostgreSQL: the owner's. */
  readonly source: pg.Client;
  /** An administrator's session in the database of the ledger; `source` itself where that is the same. */
  readonly ledger: pg.Client;
  /** Another session of the user's, ended with the file. */
  session(): Promise<pg.Client>;
  /** Opens `source` again, where its server went away. */
  reconnect(): Promise<void>;
  add(table: string, options?: TableOptions): Promise<Followed>;
  close(): Promise<void>;
}

/** A replicated table. Every slice carries the checkpoint of the last one, as the workflow does. */
export interface Followed {
  readonly name: TableName;
  readonly receipt: PrepareReceipt;
  /** @throws Error where the table has none */
  readonly topic: string;
  copy(): Promise<CopyReceipt>;
  publish(deps?: Partial<Deps>, sliceMs?: number): Promise<SliceReceipt>;
  load(deps?: Partial<Deps>, sliceMs?: number): Promise<SliceReceipt>;
  direct(deps?: Partial<Deps>, sliceMs?: number): Promise<SliceReceipt>;
  /** One step of a change of its route; what it waits for runs beside it. */
  change(options: RouteOptions, step: ChangeStep, start?: unknown): Promise<ChangeReceipt>;
  /** All steps of a change, as the workflow makes them. @param before each step */
  configure(options: RouteOptions, before?: (step: ChangeStep) => Promise<unknown>): Promise<ChangeReceipt>;
  /** Of the Kafka engine. */
  watch(deps?: Partial<Deps>, sliceMs?: number): Promise<SliceReceipt>;
  /** Stops the Kafka engine. */
  stop(): Promise<void>;
  /** Runs another activity for the table. */
  call<Request extends object, T>(
    activity: (deps: Deps, request: TableAddress & Request) => Promise<T>,
    request: Request,
  ): Promise<T>;
  /** One slice of a stage of any loader; its checkpoint is not carried. */
  slice<T>(activity: (deps: Deps, request: SliceRequest) => Promise<T>, stage: StageId, sliceMs?: number): Promise<T>;
  /** Moves until nothing waits in any stage. @param publisher dependencies of the slices that read the capture */
  settle(publisher?: Partial<Deps>): Promise<void>;
  /** As after the workflow was started anew: the next slices carry no checkpoint. */
  forget(): void;
  remove(dropTarget?: boolean): Promise<RemoveReceipt | void>;
  compare(): Promise<Comparison>;
  /** Settles, and expects every row to be the same on both sides. @returns how many rows */
  expectEqual(): Promise<number>;
  /** One value of ClickHouse; `{target}`, `{current}`, `{floor}`, `{errors}` and `{fence}` stand for the table's names. */
  sink(query: string): Promise<string>;
}

/** A slice that is made to fail is no news. */
const QUIET = new DefaultLogger('ERROR', () => undefined);
/** What a step of a change waits for is moved in slices of this length. */
const BESIDE_MS = 200;
/** A step of a change that finds its table locked fails after a minute, and is tried again. */
const LOCKED_MS = 150_000;
/** Short: an idle slice ends when its time is over. */
const SLICE_MS = 400;

export interface PathOptions {
  /** Those of the product by default. */
  readonly captures?: Registry<Capture>;
  /** The ledger lies in a database of its own. */
  readonly ledgerElsewhere?: boolean;
  /** How long a slice is, milliseconds; 400 by default. One that checks much before its first batch needs longer. */
  readonly sliceMs?: number;
  /** The role of the source may only read; the ledger lies elsewhere then. */
  readonly selectOnly?: boolean;
  /** The role may capture from the WAL. */
  readonly wal?: boolean;
  /** An empty database of a server of the test's own, as a superuser; one of the run's server by default. */
  readonly owner?: PostgresAddress;
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function openPath({
  captures,
  selectOnly = false,
  ledgerElsewhere = selectOnly,
  sliceMs = SLICE_MS,
  wal = false,
  env = {},
  ...options
}: PathOptions = {}): Promise<Path> {
  const owner = options.owner ?? (await freshDatabase('path'));
  const ledgerOwner = ledgerElsewhere ? await freshDatabase('ledger') : owner;
  const postgres = await (selectOnly ? selectRole(owner) : leastRole(owner));
  if (wal) await letReadWal(owner);
  const clickhouse = await freshSink('path');
  const all = {
    ...environmentOf({ postgres, kafka: addressOf('kafka'), clickhouse }),
    ...(ledgerElsewhere ? { LEDGER_PG_URL: await ledgerRole(ledgerOwner) } : {}),
    PG2CLICK_PIPELINE: freshName('p'),
    PG2CLICK_LOG_LEVEL: 'silent',
    ...env,
  };
  const settings = loadSettings({ envFile: false, stackFile: false, env: all });
  const deps = openDeps(settings, createLogger(settings.log), undefined, captures);
  const sessions: pg.Client[] = [];
  const open = async (address: typeof owner): Promise<pg.Client> => {
    const client = new pg.Client(address);
    client.on('error', () => undefined); // a server that goes away says no goodbye
    await client.connect();
    sessions.push(client);
    return client;
  };
  const session = (): Promise<pg.Client> => open(owner);
  const sources = { source: await session() };
  const ledger = ledgerElsewhere ? await open(ledgerOwner) : sources.source;
  await using migrating = await connectPostgres(ledgerSettings(settings), { name: 'test' });
  await migrateLedger(migrating);
  if (ledgerElsewhere) {
    await using tables = await connectPostgres(settings, { name: 'test' });
    if (!selectOnly) await migrateSource(tables);
    await bindLedger(migrating, tables, { bind: true, outboxes: !selectOnly });
  }
  return {
    settings,
    env: all,
    deps,
    get source() {
      return sources.source;
    },
    ledger,
    session,
    async reconnect() {
      sources.source = await session();
    },
    add: (table, options = {}) => follow({ settings, deps, sources, sliceMs }, parseTableName(table), options),
    async close() {
      await deps.close();
      await Promise.all(sessions.map((client) => client.end()));
    },
  };
}

const ACTIVITIES = { publishSlice, loadSlice, directSlice, watchEngine };
type Moving = keyof typeof ACTIVITIES;

function isMoving(activity: StageActivity): activity is Moving {
  return Object.hasOwn(ACTIVITIES, activity);
}

async function follow(
  path: { settings: Settings; deps: Deps; sources: { source: pg.Client }; sliceMs: number },
  name: TableName,
  options: TableOptions,
): Promise<Followed> {
  const address = { pipeline: path.settings.pipeline, ...name };
  const checkpoint: Partial<Record<StageActivity, Checkpoint | null>> = {};
  const run = <T>(activity: (deps: Deps) => Promise<T>, deps: Partial<Deps> = {}): Promise<T> =>
    new MockActivityEnvironment({}, { logger: QUIET }).run(() => activity({ ...path.deps, ...deps }));
  const slice = async (stage: Moving, deps?: Partial<Deps>, sliceMs = path.sliceMs): Promise<SliceReceipt> => {
    const receipt = await run(
      (all) => ACTIVITIES[stage](all, { ...address, checkpoint: checkpoint[stage] ?? null, sliceMs }),
      deps,
    );
    checkpoint[stage] = receipt.checkpoint;
    return receipt;
  };
  let receipt = await run((deps) => prepareTable(deps, { ...address, options }));
  const [database = '', table = ''] = receipt.target.split(/\.(.*)/su);
  const names = {
    target: quote(database, table),
    current: quote(database, `${table}_current`),
    floor: quote(database, `${table}_floor`),
    errors: quote(database, `${table}_errors`),
    fence: quote(database, `${table}_fence`),
  };

  const moving = (): readonly Moving[] =>
    (receipt.stages ?? stagesOf(FIRST_ROUTE)).map(({ activity }) => activity).filter(isMoving);

  const change: Followed['change'] = async (options, step, start) => {
    let isOver = false;
    const changing = run((deps) => changeRoute(deps, { ...address, options, step, start })).finally(() => {
      isOver = true;
    });
    // Most steps wait for nobody.
    await Promise.race([changing.catch(() => undefined), sleep(BESIDE_MS)]);
    const beside = {
      preparing: moving(),
      draining: moving().filter((each) => each === 'loadSlice' || each === 'watchEngine'),
    };
    for (const stages = step === 'preparing' || step === 'draining' ? beside[step] : []; !isOver;)
      if (stages.length === 0) await sleep(BESIDE_MS);
      else for (const stage of stages) await slice(stage, undefined, BESIDE_MS);
    return changing;
  };

  const followed: Followed = {
    name,
    get receipt() {
      return receipt;
    },
    get topic() {
      if (receipt.topic === null) throw new Error('the table has no topic');
      return receipt.topic;
    },
    async copy() {
      for (;;) {
        const receipt = await run((deps) => copyTable(deps, { ...address, checkpoint: null, sliceMs: path.sliceMs }));
        if (receipt.finished !== false) return receipt;
        const { chunks = 0, chunksDone = 0 } = receipt.progress ?? {};
        // Its end waits for what came meanwhile.
        if (chunks === chunksDone) for (const stage of moving()) await slice(stage);
      }
    },
    publish: (deps, sliceMs) => slice('publishSlice', deps, sliceMs),
    load: (deps, sliceMs) => slice('loadSlice', deps, sliceMs),
    direct: (deps, sliceMs) => slice('directSlice', deps, sliceMs),
    change,
    async configure(options, before) {
      let done: ChangeReceipt;
      let step: ChangeStep | null = 'preparing';
      let start: unknown;
      do {
        await before?.(step);
        const [at, from] = [step, start];
        done = await again(() => change(options, at, from), LOCKED_MS);
        ({ next: step, start } = done);
        if (done.prepared === undefined) continue;
        const [was] = moving();
        const isSame = done.prepared.generation === receipt.generation;
        receipt = done.prepared;
        const [is] = moving();
        const known = was === undefined ? null : (checkpoint[was] ?? null);
        if (!isSame) followed.forget();
        else if (was !== is) {
          followed.forget();
          if (is !== undefined) checkpoint[is] = known;
        }
      } while (step !== null);
      return done;
    },
    watch: (deps, sliceMs) => slice('watchEngine', deps, sliceMs),
    stop: () => run((deps) => stopEngine(deps, { ...address, stage: 'load:main' })),
    call: (activity, request) => run((deps) => activity(deps, { ...address, ...request })),
    slice: (activity, stage, sliceMs = path.sliceMs) =>
      run((deps) => activity(deps, { ...address, stage, checkpoint: null, sliceMs })),
    forget: () =>
      void Object.assign(checkpoint, { publishSlice: null, loadSlice: null, directSlice: null, watchEngine: null }),
    async settle(publisher) {
      // A slice of a slow moment may end before it has looked, and says then that nothing waits: once is not enough.
      for (let quiet = 0; quiet < 2;) {
        let moves = 0;
        for (const [index, activity] of moving().entries()) {
          const { batches, waiting, shapes = [] } = await slice(activity, index === 0 ? publisher : undefined);
          // It may also end before it has named what waits, and one that notes a change of the columns does.
          moves += batches + waiting + shapes.length;
        }
        quiet = moves === 0 ? quiet + 1 : 0;
      }
    },
    remove: (dropTarget = false) => run((deps) => removeTable(deps, { ...address, dropTarget })),
    compare: () =>
      compareTable({
        postgres: path.sources.source,
        clickhouse: path.deps.clickhouse,
        table: name,
        where: options.where,
        view: { database, table: options.engine === 'merge-tree' ? table : `${table}_current` },
      }),
    async expectEqual() {
      await followed.settle();
      const comparison = await followed.compare();
      expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
      return comparison.equal;
    },
    async sink(query) {
      const sql = query.replaceAll(/\{(\w+)\}/gu, (_, key: keyof typeof names) => names[key]);
      const result = await path.deps.clickhouse.query({ query: sql, format: 'TabSeparated' });
      return (await result.text()).trim();
    },
  };
  return followed;
}

function quote(database: string, table: string): string {
  return [database, table].map((part) => `\`${part.replaceAll('`', '\\`')}\``).join('.');
}
