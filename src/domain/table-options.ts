import { given } from './given.js';
import { filterCondition } from './row-filter.js';
import {
  firstLoader,
  type CaptureOptions,
  type Column,
  type ReplicatedTable,
  type TableOptions,
} from './replicated-table.js';
import { engineOf, kafkaOf, type LoaderKind } from './route.js';

type OfTable = Pick<ReplicatedTable, 'key' | 'route' | 'excluded' | 'where'> &
  Partial<Pick<ReplicatedTable, 'columns'>>;

/** The options that a prepared table has. */
export function optionsOf({ key, route, columns = [], excluded = [], where }: OfTable): TableOptions {
  const loader = firstLoader({ route });
  const { target } = loader;
  const kafka = kafkaOf(route);
  const { cursor, channel, intervalMs } = route.capture as Partial<CaptureOptions>;
  const { kind: transport } = route.transport;
  return {
    key,
    target: `${target.database}.${target.table}`,
    ...given({
      where: filterCondition({ columns, where }),
      topic: kafka?.topic,
      format: kafka?.format,
      payload: kafka?.payload,
      cursor,
      channel,
      intervalMs,
      types: chosen(columns, ({ clickhouse }) => clickhouse),
      policies: chosen(columns, ({ policy }) => policy),
      codecs: chosen(columns, ({ codec }) => codec),
      renamed: chosen(columns, ({ shown }) => shown),
      excluded: excluded.length === 0 ? undefined : excluded.map(({ name }) => name),
    }),
    capture: route.capture.kind,
    transport,
    loader: loader.kind as LoaderKind,
    engine: engineOf(loader),
    ...loader.layout,
  };
}

/** @returns undefined where nothing is chosen for any column */
function chosen<T>(columns: readonly Column[], what: (column: Column) => T | undefined): Record<string, T> | undefined {
  const entries = columns.flatMap((column) => {
    const value = what(column);
    return value === undefined ? [] : [[column.name, value] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** What `add` takes when nothing is said. Transport and format follow from the settings: they are always said. */
const DEFAULTS: TableOptions = { capture: 'outbox', loader: 'worker', engine: 'replacing', payload: 'row' };

/** Those of them that `add` has to be given, to make the same table again. */
export function spokenOptions(options: TableOptions): TableOptions {
  const [only, ...more] = options.key ?? [];
  const cursor = more.length === 0 && options.cursor === only ? undefined : options.cursor;
  const isDefault = ([name, value]: [string, unknown]): boolean => DEFAULTS[name as keyof TableOptions] === value;
  return given(
    Object.fromEntries(Object.entries({ ...options, cursor }).filter((option) => !isDefault(option))) as TableOptions,
  );
}
