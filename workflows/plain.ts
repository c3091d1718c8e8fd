/** Texts of others inside Markdown: no markup, no new blocks. */
export function plain(text: string): string {
  return text.replaceAll(/[\r\n]+/gu, ' ').replaceAll(/[\\`*_[\]<>|#]/gu, String.raw`\$&`);
}
