import { placeOf } from '../../domain/column-type.js';
import type { Column, ColumnOptions, ExcludedColumn, Policy, ReplicatedTable } from '../../domain/replicated-table.js';
import { rowOf } from '../../domain/types/rows.js';
import type { Place } from '../../domain/types/type.js';
import { columnName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';

export interface ChosenColumns {
  readonly columns: readonly Column[];
  /** Those that are left out; absent: none is. */
  readonly excluded?: readonly ExcludedColumn[];
}

export interface ChoosingFor {
  /** Of the table, for sentences. */
  readonly title: string;
  /** Names of the key columns. */
  readonly key: readonly string[];
}

/**
 * The columns as the user wants them. Whatever they choose, no value is changed without their word: a ClickHouse type that has no place
 * for some values takes a policy that says what becomes of these.
 * @throws Failure `UnsuitableTable`, `UnsupportedType`
 */
export function chooseColumns(
  all: readonly Column[],
  options: ColumnOptions,
  { title, key }: ChoosingFor,
): ChosenColumns {
  const { policies = {}, policy, codecs = {}, excluded = [], renamed = {} } = options;
  const types = withLowCardinality(all, options, title);
  for (const name of [types, policies, codecs, renamed].flatMap((each) => Object.keys(each)).concat(excluded))
    requireColumn(all, name, title);
  const isExcluded = ({ name }: Column): boolean => excluded.includes(name);
  const columns = renameColumns(withCodecs(all, codecs), { renamed, excluded }, title)
    .filter((column) => !isExcluded(column))
    .map((column) => {
      const clickhouse = own(types, column.name);
      const typed = clickhouse === undefined ? column : { ...column, clickhouse };
      const place = placeOf(rowOf(typed), typed);
      if (place === undefined) throw noPlace(typed, title);
      const chosen = own(policies, column.name);
      if (chosen !== undefined) return withPolicy(typed, chosen, { place, title, isKey: key.includes(column.name) });
      const common = policy !== undefined && takesPolicy(place, policy) && !key.includes(column.name);
      if (common) return { ...typed, policy };
      if (clickhouse !== undefined) requireNoPolicy(typed, place, title);
      return typed;
    });
  const leftOut = all.filter(isExcluded).map(({ name, position }) => ({ name, position }));
  return { columns, ...(leftOut.length === 0 ? {} : { excluded: leftOut }) };
}

/** The columns of a table that was added before, with what was chosen for each. One that is new is as it is. */
export function keepColumns(
  all: readonly Column[],
  { columns, excluded = [] }: Pick<ReplicatedTable, 'columns' | 'excluded'>,
): ChosenColumns {
  const kept = all
    .filter(({ position }) => !excluded.some((each) => each.position === position))
    .map((column) => {
      const was = columns.find(({ position }) => position === column.position);
      return {
        ...column,
        ...(was?.clickhouse === undefined ? {} : { clickhouse: was.clickhouse }),
        ...(was?.policy === undefined ? {} : { policy: was.policy }),
        ...(was?.codec === undefined ? {} : { codec: was.codec }),
        ...(was?.shown === undefined ? {} : { shown: was.shown }),
      };
    });
  return { columns: kept, ...(excluded.length === 0 ? {} : { excluded }) };
}

const LOW_CARDINALITY = 'LowCardinality(String)';

/** The types that were chosen, those of `--low-cardinality` among them. @throws Failure `UnsuitableTable` for what is no text */
function withLowCardinality(
  all: readonly Column[],
  { types = {}, lowCardinality = [] }: ColumnOptions,
  title: string,
): Readonly<Record<string, string>> {
  const chosen: Record<string, string> = { ...types };
  for (const name of lowCardinality) {
    requireColumn(all, name, title);
    const column = all.find((each) => each.name === name);
    const type = own(types, name) ?? (column && rowOf(column).place(column).clickhouse) ?? '';
    if (type !== 'String' && type !== LOW_CARDINALITY)
      throw new Failure('UnsuitableTable', {
        message: `Column ${name} of ${title} is ${type} in ClickHouse, and LowCardinality is for texts.`,
        remedy: `Leave it out of --low-cardinality.`,
      });
    chosen[name] = LOW_CARDINALITY;
  }
  return chosen;
}

/** Whether ClickHouse knows a codec, and has it for the type, it says itself. */
function withCodecs(all: readonly Column[], codecs: Readonly<Record<string, string>>): readonly Column[] {
  return all.map((column) => {
    const codec = own(codecs, column.name);
    return codec === undefined ? column : { ...column, codec };
  });
}

/** What the columns are called in ClickHouse. Whether ClickHouse takes the names is seen when all of them are known. */
function renameColumns(
  all: readonly Column[],
  { renamed = {}, excluded = [] }: Pick<ColumnOptions, 'renamed' | 'excluded'>,
  title: string,
): readonly Column[] {
  return all.map((column) => {
    const { name } = column;
    const shown: unknown = own(renamed, name);
    if (shown === undefined) return column;
    if (excluded.includes(name))
      throw new Failure('UnsuitableTable', {
        message: `Column ${name} of ${title} is left out, and cannot have another name.`,
        remedy: 'Leave out --exclude-column or --rename-column for it.',
      });
    if (typeof shown !== 'string' || shown === '')
      throw new Failure('UnsuitableTable', {
        message: `Column ${name} of ${title} needs a name.`,
        remedy: `Give one: --rename-column ${columnName(name)}=NAME.`,
      });
    return shown === name ? column : { ...column, shown };
  });
}

/** An option may be named like a property that every object has. */
function own<T>(options: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(options, name) ? options[name] : undefined;
}

function requireColumn(columns: readonly Column[], wanted: string, title: string): void {
  if (columns.some(({ name }) => name === wanted)) return;
  throw new Failure('UnsuitableTable', {
    message: `${title} has no column "${wanted}".`,
    remedy: `Its columns are ${columns.map(({ name }) => name).join(', ')}. Capitals take double quotes, as in SQL.`,
  });
}

function noPlace(column: Column, title: string): Failure {
  const { choices } = rowOf(column);
  const known = ['String', LOW_CARDINALITY, ...(choices === undefined ? [] : [choices.replaceAll('`', '')])];
  const { clickhouse = '' } = column;
  const isNullable = clickhouse.startsWith('Nullable(');
  return new Failure('UnsupportedType', {
    message: isNullable
      ? `Column ${column.name} of ${title} shall be ${clickhouse}: whether it is Nullable follows from the source, and from its policy.`
      : `Values of column ${column.name} of ${title}, a ${describeType(column)}, cannot be stored in ${clickhouse} exactly.`,
    remedy: isNullable ? 'Leave Nullable out.' : `Choose one of: ${known.join(', ')}.`,
  });
}

function takesPolicy({ outside }: Place, policy: Policy): boolean {
  return outside !== undefined && (policy !== 'clamp' || outside.nearest !== undefined);
}

function requireNoPolicy(column: Column, { outside, clickhouse }: Place, title: string): void {
  // ClickHouse refuses what has no mark by itself: NaN, in a Decimal that takes all numbers. And another zone holds what UTC holds.
  if (outside?.mark === undefined || outside.words === rowOf(column).place(column).outside?.words) return;
  throw new Failure('UnsupportedType', {
    message: `${clickhouse} has no place for some values of column ${column.name} of ${title}: ${outside.words}.`,
    remedy: `Say what becomes of them: --policy ${column.name}=null, clamp, refuse or text.`,
  });
}

function withPolicy(
  column: Column,
  policy: Policy,
  { place, title, isKey }: { readonly place: Place; readonly title: string; readonly isKey: boolean },
): Column {
  const refuse = (message: string, remedy: string): never => {
    throw new Failure('UnsuitableTable', { message, remedy });
  };
  const { clickhouse, outside } = place;
  if (policy === 'text' && column.clickhouse !== undefined)
    refuse(
      `Column ${column.name} of ${title} shall be ${column.clickhouse}, and its policy is text, which is String.`,
      'Leave one of them out.',
    );
  if (policy === 'text' || policy === 'refuse') return { ...column, policy };
  if (outside === undefined)
    refuse(
      `Every value of column ${column.name} of ${title}, a ${describeType(column)}, has its exact place in ${clickhouse}.`,
      `Leave --policy ${column.name}=${policy} out.`,
    );
  if (isKey)
    refuse(
      `Column ${column.name} of ${title} is in its key: with the policy ${policy} two keys could become one.`,
      `Choose --policy ${column.name}=text or refuse.`,
    );
  if (!takesPolicy(place, policy))
    refuse(
      `No value of ${clickhouse} is near those that have no place in column ${column.name} of ${title}: ${outside?.words ?? ''}.`,
      `Choose --policy ${column.name}=text, null or refuse.`,
    );
  return { ...column, policy };
}

/** For people: `numeric(10,2)`. */
export function describeType({ type, precision, scale }: Column): string {
  return precision === undefined ? type : `${type}(${precision},${scale})`;
}
