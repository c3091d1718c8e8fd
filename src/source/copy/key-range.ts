import type { KeyRange } from '../../domain/chunk.js';
import { literal, quotePg } from '../../domain/identifier.js';

/** The rows of a range, as a condition on `source`. */
export function keyCondition({ key = [] }: { readonly key?: readonly string[] }, { from, to }: KeyRange): string {
  const columns = `(${key.map((name) => `source.${quotePg(name)}`).join(', ')})`;
  const bound = (texts: readonly string[]): string => `(${texts.map(literal).join(', ')})`;
  return [
    ...(from === null ? [] : [`${columns} >= ${bound(from)}`]),
    ...(to === null ? [] : [`${columns} < ${bound(to)}`]),
    ...(from === null && to === null ? ['true'] : []),
  ].join(' and ');
}
