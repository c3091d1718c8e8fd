import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { isAnyRewritten, isTouched } from './fingerprint-difference.js';
import type { Fingerprint, FingerprintColumn } from './fingerprint.js';

/**
 * Changes of the source that the row filter does not follow, as clauses. A renamed column is followed, and values that were written
 * again are read again, as of any column. Another type may give the condition another meaning, and a column that is left out has
 * nothing that is read again.
 */
export function changesOfFilter(
  { where }: Pick<ReplicatedTable, 'where'>,
  before: Fingerprint,
  after: Fingerprint,
): readonly string[] {
  if (where === undefined) return [];
  const rewritten = before.file !== after.file || isAnyRewritten(before, after);
  return where.columns.flatMap((position) => {
    const [was, is] = [before.columns[position], after.columns[position]];
    const isHidden = where.hidden?.some((column) => column.position === position) === true;
    if (was === undefined) return [];
    const uses = `the row filter uses the column ${was.name}`;
    if (is === undefined) return [`${uses}, which was dropped`];
    if (was.type !== is.type || was.collation !== is.collation)
      return [`${uses}, which was changed from ${was.typeName} to ${is.typeName}`];
    if (!isHidden) return [];
    const change = changeOfHidden(was, is, rewritten);
    return change === undefined ? [] : [`${uses}, which is left out and ${change}`];
  });
}

function changeOfHidden(was: FingerprintColumn, is: FingerprintColumn, rewritten: boolean): string | undefined {
  if (was.name !== is.name) return `was renamed to ${is.name}`;
  if (was.generated !== is.generated) return 'is generated in another way';
  return rewritten && isTouched(was, is) ? 'may have been written again' : undefined;
}
