import wrapAnsi from 'wrap-ansi';

/** The size of a terminal, in characters. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** Room for the cursor. */
const SPARE_ROWS = 1;

/**
 * Makes a picture fit, so that it can be painted over: long lines are broken between words, and what is below the last row is left out and counted.
 * @param way what the person can do to see the rest
 */
export function fitScreen(text: string, { columns, rows }: Screen, way: string): string {
  const lines = text.split('\n').flatMap((line) => wrapLine(line, columns));
  const most = Math.max(2, rows - SPARE_ROWS);
  if (lines.length <= most) return lines.join('\n');
  const shown = lines.slice(0, most - 1);
  return [...shown, ...wrapLine(`  .. ${lines.length - shown.length} more lines: ${way}`, columns).slice(0, 1)].join(
    '\n',
  );
}

/** The lines after the first begin where the first does. */
function wrapLine(line: string, columns: number): string[] {
  const indent = /^ */u.exec(line)?.[0] ?? '';
  const width = Math.max(20, columns - indent.length);
  const wrapped = wrapAnsi(line.slice(indent.length), width, { trim: true, hard: true });
  return wrapped.split('\n').map((part) => (part === '' ? '' : `${indent}${part}`));
}
