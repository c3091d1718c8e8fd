import type { Span } from '../../src/domain/change.js';

export function spanOf(text: string): Span {
  const bytes = Buffer.from(text);
  return { bytes, start: 0, end: bytes.length };
}

export function textOf({ bytes, start, end }: Span): string {
  return Buffer.from(bytes.subarray(start, end)).toString();
}
