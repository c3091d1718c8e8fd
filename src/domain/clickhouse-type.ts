/** By kind: types that hold every value of those before them. */
const WIDER: readonly (readonly string[])[] = [
  ['Int8', 'Int16', 'Int32', 'Int64', 'Int128', 'Int256'],
  ['Float32', 'Float64'],
];

/** `LowCardinality` changes how a column is stored, not what it holds. */
export function comparable(type: string): string {
  return type.replace(/^LowCardinality\((.*)\)$/u, '$1').replaceAll(' ', '');
}

/** Whether a column of ClickHouse of type `has` holds every value of type `wanted` as it is. */
export function holds(has: string, wanted: string): boolean {
  const inner = /^Nullable\((.*)\)$/u;
  const [wide, narrow] = [comparable(has), comparable(wanted)];
  // A NULL for a column that takes none would be changed without an error.
  if (inner.test(narrow) && !inner.test(wide)) return false;
  const [bare, needed] = [wide.replace(inner, '$1'), narrow.replace(inner, '$1')];
  if (bare === needed) return true;
  if (WIDER.some((types) => types.includes(needed) && types.indexOf(bare) > types.indexOf(needed))) return true;
  const [big, small] = [decimalOf(bare), decimalOf(needed)];
  if (big === undefined || small === undefined) return false;
  return big.scale >= small.scale && big.precision - big.scale >= small.precision - small.scale;
}

function decimalOf(type: string): { readonly precision: number; readonly scale: number } | undefined {
  const [, precision, scale] = /^Decimal\((\d+),(\d+)\)$/u.exec(type) ?? [];
  return precision === undefined ? undefined : { precision: Number(precision), scale: Number(scale) };
}
