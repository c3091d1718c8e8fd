/** The four servers, in the order people read them. */
export const SERVER_NAMES = ['postgres', 'kafka', 'clickhouse', 'temporal'] as const;

export type ServerName = (typeof SERVER_NAMES)[number];
