/**
 * A name that Avro takes: letters of ASCII, digits and `_`, without a digit in front. Any other unit of UTF-16 becomes `_u` and its four
 * hexadecimal digits: `Größe` is `Gr_u00f6_u00dfe`.
 */
export function avroName(name: string): string {
  const escaped = name.replaceAll(/[^A-Za-z0-9_]/gu, escapeUnits);
  return /^\d/u.test(escaped) ? `${escapeUnits(escaped.charAt(0))}${escaped.slice(1)}` : escaped;
}

function escapeUnits(text: string): string {
  let escaped = '';
  for (let at = 0; at < text.length; at++) escaped += `_u${text.charCodeAt(at).toString(16).padStart(4, '0')}`;
  return escaped;
}
