import { FAILURE_KINDS, policyOf } from './kinds.js';

/** The page `docs/06-failures.md`: made from the table of kinds, and compared with it by a test. */
export function failurePage(): string {
  const rows = FAILURE_KINDS.map((kind) => {
    const { treatment, remedy } = policyOf(kind);
    return `| \`${kind}\` | ${treatment} | ${remedy} |`;
  });
  return [
    '# Failures',
    '',
    'Every failure has one of these kinds. The kind decides what happens, never the text of a message.',
    '',
    '- **transient**: retried for ever, first within the slice, then by Temporal with a back-off of at most 10 seconds. It',
    '  shows as `retrying` in `pg2click status`, and as a pending activity with its last failure in the Temporal UI.',
    '- **parked**: a retry would not help. The stage waits; the other stages of the table and all other tables go on.',
    "  `pg2click status` and the workflow's page show the cause and the remedy. After the remedy: `pg2click resume TABLE`.",
    '',
    '"Remove the table and add it again" means `pg2click remove TABLE`, then `pg2click add TABLE` with the same options. The target',
    'keeps its rows meanwhile, and the copied rows win over them. With `remove --drop-target` it is dropped and created again, which',
    'is needed if columns or key changed. A target that you made yourself is never dropped: alter it, or drop it by hand.',
    '',
    '| kind | treatment | what to do |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
