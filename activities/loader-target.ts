import { loaderNamed, targetOf, type ReplicatedTable, type TargetTable } from '../src/domain/replicated-table.js';
import { kafkaOf, MAIN_LOADER, type LoaderSpec, type Route } from '../src/domain/route.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { readSinkIdentity } from '../src/clickhouse/identity.js';
import { targetNames } from '../src/clickhouse/names.js';
import { checkTarget, highestGeneration } from '../src/clickhouse/target.js';
import { readTarget } from './choose-names.js';
import type { Deps } from './deps.js';

export interface NewTarget {
  /** The loader's. */
  readonly name: string;
  /** `table` or `database.table`; the name of the first target when absent. */
  readonly target?: string | undefined;
  readonly connection?: string | undefined;
}

/**
 * A loader for a table that has one already: its target is looked at, and nothing is made.
 * @throws Failure `TargetTaken` another loader writes there, or it holds newer rows; those of `checkTarget`; `WrongWorker`
 */
export async function planLoader(deps: Deps, table: ReplicatedTable, wanted: NewTarget): Promise<LoaderSpec> {
  const { name, connection } = wanted;
  const sink = deps.sink(connection === undefined ? {} : { connection });
  const server = await readSinkIdentity(sink.clickhouse);
  const target = readTarget(wanted.target ?? table.route.loaders[0]?.target.table ?? table.name.table, sink.database);
  const loader: LoaderSpec = {
    kind: 'worker',
    name,
    target,
    server,
    ...(connection === undefined ? {} : { connection }),
  };
  const { shown } = targetNames(target);
  const taken = table.route.loaders.find((other) => isSameTarget(other, loader));
  if (taken !== undefined)
    throw new Failure('TargetTaken', {
      message: `Loader ${taken.name} already writes to ${shown}.`,
      remedy: 'Name another table.',
    });
  const { id: own } = await deps.deployment();
  await checkTarget(sink.clickhouse, targetOf(table, loader, own));
  const generation = await highestGeneration(sink.clickhouse, target);
  if (generation > table.generation)
    throw new Failure('TargetTaken', {
      message: `${shown} holds rows of generation ${generation}, and ${formatTableName(table.name)} is at ${table.generation}: they would hide its rows.`,
      remedy: `Drop ${shown} in ClickHouse, or name another table.`,
    });
  return loader;
}

/** Two names in the settings may mean one server: then its identity tells. */
function isSameTarget(one: LoaderSpec, other: LoaderSpec): boolean {
  const sameServer = one.connection === other.connection || (one.server !== undefined && one.server === other.server);
  return sameServer && one.target.database === other.target.database && one.target.table === other.target.table;
}

/** @throws Failure `Misconfigured` the table has no loader of that name */
export function requireLoader(table: ReplicatedTable, name: string): LoaderSpec {
  const known = table.route.loaders.map((loader) => loader.name);
  if (known.includes(name)) return loaderNamed(table, name);
  throw new Failure('Misconfigured', {
    message: `${formatTableName(table.name)} has no loader "${name}": it has ${known.join(', ') || MAIN_LOADER}.`,
    remedy: 'See them with pg2click loader list.',
  });
}

/** Makes the target of a loader, or checks the one that is there. */
export async function makeTarget(
  deps: Deps,
  target: TargetTable,
  { kind, name }: Pick<LoaderSpec, 'kind' | 'name'>,
  route: Pick<Route, 'transport'>,
): Promise<void> {
  const { clickhouse } = deps.sink(target);
  await deps.loaders.named(kind).prepare({ ...deps, clickhouse }, target, { loader: name, transport: kafkaOf(route) });
}
