/** A PostgreSQL identifier, quoted whatever it holds: capitals, spaces, quotes, a reserved word. */
export function quotePg(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A ClickHouse identifier in backticks, inside which a backslash escapes as well. */
export function quoteCh(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}

/**
 * A PostgreSQL string literal, for the places where no parameter can stand (COPY, DDL). A backslash takes the E'' form, which
 * means the same under either setting of standard_conforming_strings.
 */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}
