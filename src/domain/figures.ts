/** From this part of a budget on people are warned. */
export const BUDGET_WARN_FROM = 0.75;

/** Numbers as people read them: `1,234,567`. The same in every locale, and in a workflow. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/gu, ',');
}

/** "0.3 MB", "1,234 MB". */
export function megabytes(bytes: number): string {
  const size = bytes / 1_000_000;
  return `${size < 10 ? size.toFixed(1) : count(size)} MB`;
}

/** "0.4 s", "12 s", "3 min", "2 h", "4 d". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** "(52%)" of an estimate, which may be exceeded. */
export function share(part: number, whole: number | null): string {
  if (whole === null || whole <= 0) return '';
  return ` of about ${count(whole)} (${percent(part, whole)})`;
}

/** "52%"; 99% until it is certain that all is done. */
export function percent(part: number, whole: number): string {
  return `${Math.min(99, Math.floor((part / whole) * 100))}%`;
}

export function plural(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}
