/**
 * What to do about a topic or target that is taken. `resume` would try the same name again, and `add` does not change a table that is
 * added already.
 * @param title `schema.table`
 * @param option the one of `add` that chooses another name
 */
export function takenRemedy(title: string, option: '--topic' | '--target'): string {
  return `Run pg2click remove ${title}, then add it with a name that is free: pg2click add ${title} ${option} NAME`;
}
