import { DELETED_COLUMN, columnType, VERSION_COLUMN } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, shownName, type Column, type TargetTable } from '../domain/replicated-table.js';
import type { InsertFormat } from './insert.js';
import { quoteText, targetNames } from './names.js';

/** What the values of an insert are. */
export interface ValuesForm {
  readonly encoding: InsertFormat;
  /** The names of TabSeparated values, in their order. JSON names its own. */
  readonly names: readonly string[] | undefined;
  /** The columns of the table when the values were written. */
  readonly columns: readonly Column[];
  /** The columns that the target has; absent where it has all of them. */
  readonly existing?: ReadonlySet<string> | undefined;
}

/** A column of the values and where it goes. */
interface Field {
  /** In the values. */
  readonly name: string;
  readonly type: string;
  /** In the target. */
  readonly physical: string;
}

/**
 * The statement that inserts values of any shape. Where their names are those of the target they go in as they are. Else they are
 * selected by name: a column may have been renamed since, and a target that was made later lacks columns that were dropped before.
 * Measured with 300,000 rows: 0.46 s so, 0.33 s plain.
 * @returns `mapped`: it selects, and needs the settings of such an insert
 */
export function valuesQuery(
  table: TargetTable,
  form: ValuesForm,
): { readonly query: string; readonly mapped: boolean } {
  const { encoding, names, columns, existing } = form;
  const into = /* sql */ `insert into ${targetNames(table.target).sql.table}`;
  const fields = fieldsOf(columns, names);
  const isThere = ({ physical }: Field): boolean => existing?.has(physical) !== false;
  const list = fields.filter(isThere);
  const physical = list.map((field) => quoteCh(field.physical)).join(', ');
  if (list.length === fields.length) {
    if (encoding === 'TabSeparated') return { query: `${into} (${physical}) format ${encoding}`, mapped: false };
    // Without a list of columns: with hundreds of long names it would outgrow what servers take in a URL.
    if (fields.every((field) => field.name === field.physical))
      return { query: `${into} format ${encoding}`, mapped: false };
  }
  const structure = fields.map(({ name, type }) => `${quoteCh(name)} ${type}`).join(', ');
  const selected = list.map(({ name }) => quoteCh(name)).join(', ');
  return {
    query: /* sql */ `${into} (${physical}) select ${selected} from input(${quoteText(structure)}) format ${encoding}`,
    mapped: true,
  };
}

function fieldsOf(columns: readonly Column[], names: readonly string[] | undefined): readonly Field[] {
  const fields: Field[] = [
    ...columns.map((column) => ({
      name: shownName(column),
      type: columnType(column).clickhouse(column),
      physical: physicalName(column),
    })),
    { name: VERSION_COLUMN, type: 'UInt128', physical: VERSION_COLUMN },
    { name: DELETED_COLUMN, type: 'UInt8', physical: DELETED_COLUMN },
  ];
  if (names === undefined) return fields;
  const known = new Map(fields.map((field) => [field.name, field]));
  // What the shape does not know is for ClickHouse to refuse.
  return names.map((name) => known.get(name) ?? { name, type: 'String', physical: name });
}
