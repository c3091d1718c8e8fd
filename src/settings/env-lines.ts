import { Failure } from '../failure/failure.js';

/** Names that we read; a `.env` may be shared with other programs, whose lines are theirs. */
const OURS = /^(?:PG|LEDGER_PG|KAFKA|CH|TEMPORAL|PG2CLICK)_\w+/u;
const ASSIGNMENT = /^\s*(?:export\s+)?([\w.-]+)\s*=\s*(.*)$/u;
const QUOTES: readonly string[] = ["'", '"', '`'];

/**
 * What a parser of `.env` files passes over without a word: a default, or another server, would be used instead.
 * @param shownAs name of the file
 * @throws Failure `Misconfigured` a line of ours without "=", a name of ours that is given twice, a quote that is not closed
 */
export function refuseUnreadLines(content: string, shownAs: string): void {
  const lines = content.split(/\r?\n/u);
  const seen = new Map<string, number>();
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const [, name, value = ''] = ASSIGNMENT.exec(line) ?? [];
    if (name === undefined) {
      refuseWithoutEquals(line, `line ${index + 1} of ${shownAs}`);
      continue;
    }
    const last = endOfValue(lines, index, value);
    if (!OURS.test(name)) {
      index = last ?? index;
      continue;
    }
    if (last === undefined)
      throw new Failure('Misconfigured', {
        message: `The value of ${name} on line ${index + 1} of ${shownAs} begins with a quote that is not closed.`,
        remedy: 'Close it, or put the value in quotes of another kind.',
      });
    const first = seen.get(name);
    if (first !== undefined)
      throw new Failure('Misconfigured', {
        message: `${name} is given twice in ${shownAs}, on lines ${first} and ${index + 1}.`,
        remedy: 'Keep one of them.',
      });
    seen.set(name, index + 1);
    index = last;
  }
}

function refuseWithoutEquals(line: string, place: string): void {
  const name = OURS.exec(line.trim().replace(/^export\s+/u, ''))?.[0];
  if (name === undefined) return;
  throw new Failure('Misconfigured', {
    message: `${name} on ${place} has no "=" behind it.`,
    remedy: `Write ${name}=VALUE, or remove the line.`,
  });
}

/** A quoted value may go over several lines. @returns the last one's index; undefined where the quote is never closed */
function endOfValue(lines: readonly string[], index: number, value: string): number | undefined {
  const quote = value[0];
  if (quote === undefined || !QUOTES.includes(quote) || value.indexOf(quote, 1) > 0) return index;
  const rest = lines.slice(index + 1).findIndex((line) => line.includes(quote));
  return rest === -1 ? undefined : index + 1 + rest;
}
