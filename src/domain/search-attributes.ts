/**
 * What a namespace of Temporal should know so that its lists can be filtered by tables: attribute name -> type, as
 * `temporal operator search-attribute create --name N --type T` takes them. Not encrypted there: names and numbers only.
 * The most useful first: a namespace may lack room for all of them. Table and pipeline are in the id of a workflow too.
 */
export const SEARCH_ATTRIBUTES = {
  /** One of the phases of a table, e.g. `streaming`, `parked`. */
  Pg2clickPhase: 'Keyword',
  /** Kind of the failure that holds the table up; unset when none does. */
  Pg2clickFailure: 'Keyword',
  Pg2clickPipeline: 'Keyword',
  /** `schema.table` */
  Pg2clickTable: 'Keyword',
  /** Age of the oldest change that is not in ClickHouse yet; at most a minute old itself. */
  Pg2clickLagSeconds: 'Int',
} as const satisfies Record<string, 'Keyword' | 'Int'>;

export type SearchAttributeName = keyof typeof SEARCH_ATTRIBUTES;

export const SEARCH_ATTRIBUTE_NAMES = Object.keys(SEARCH_ATTRIBUTES) as readonly SearchAttributeName[];

/** Those that commands and metrics read. Where the namespace lacks one, the memo of the workflow has it, under the same name. */
export const MEMO_NAMES = ['Pg2clickPhase', 'Pg2clickFailure'] as const satisfies readonly SearchAttributeName[];

/** The keys by which the SDK sets and reads them. */
export const SEARCH_KEYS = {
  table: { name: 'Pg2clickTable', type: 'KEYWORD' },
  pipeline: { name: 'Pg2clickPipeline', type: 'KEYWORD' },
  phase: { name: 'Pg2clickPhase', type: 'KEYWORD' },
  lag: { name: 'Pg2clickLagSeconds', type: 'INT' },
  failure: { name: 'Pg2clickFailure', type: 'KEYWORD' },
} as const satisfies Record<string, { readonly name: SearchAttributeName; readonly type: 'KEYWORD' | 'INT' }>;
