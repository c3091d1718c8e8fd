/**
 * What a namespace of Temporal must know before a table can be shown in its lists: attribute name -> type, as
 * `temporal operator search-attribute create --name N --type T` takes them. Not encrypted there: names and numbers only.
 */
export const SEARCH_ATTRIBUTES = {
  /** `schema.table` */
  Pg2clickTable: 'Keyword',
  Pg2clickPipeline: 'Keyword',
  /** One of the phases of a table, e.g. `streaming`, `parked`. */
  Pg2clickPhase: 'Keyword',
  /** Age of the oldest change that is not in ClickHouse yet; at most a minute old itself. */
  Pg2clickLagSeconds: 'Int',
  /** Kind of the failure that holds the table up; unset when none does. */
  Pg2clickFailure: 'Keyword',
} as const satisfies Record<string, 'Keyword' | 'Int'>;

export type SearchAttributeName = keyof typeof SEARCH_ATTRIBUTES;

/** The keys by which the SDK sets and reads them. */
export const SEARCH_KEYS = {
  table: { name: 'Pg2clickTable', type: 'KEYWORD' },
  pipeline: { name: 'Pg2clickPipeline', type: 'KEYWORD' },
  phase: { name: 'Pg2clickPhase', type: 'KEYWORD' },
  lag: { name: 'Pg2clickLagSeconds', type: 'INT' },
  failure: { name: 'Pg2clickFailure', type: 'KEYWORD' },
} as const satisfies Record<string, { readonly name: SearchAttributeName; readonly type: 'KEYWORD' | 'INT' }>;
