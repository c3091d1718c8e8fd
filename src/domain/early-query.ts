/** What a query gets that `workflows/early-activation.ts` refuses. It is asked again by who looks again: no line of a log. */
export const EARLY_QUERY = 'A query came before a workflow task that is due: ask again.';
