import { NOT_WHOLE, type Probe, type Refusal } from './probe.js';

/** Lines in a probe: after one that is refused, and at most. A probe of 2,048 lines takes some 5 ms. */
const LEAST = 2_048;
const MOST = 16_384;

/** A line that ClickHouse refuses. */
export interface RefusedLine {
  /** Its index among the lines. */
  readonly index: number;
  readonly refusal: Refusal;
}

/**
 * The lines that ClickHouse refuses, in their order. It reads a body from its beginning and stops at the first line that it refuses, so
 * the lines before that one are good. The line that its error names is probed alone. Where it passes, or where no line is named (so it is
 * for dates and times in TabSeparated), the first refused one is found by halving.
 */
export async function* findRefused(
  lines: readonly Buffer[],
  probe: Probe,
  signal: AbortSignal,
): AsyncGenerator<RefusedLine, void, undefined> {
  let size = MOST;
  for (let at = 0; at < lines.length;) {
    let part = lines.slice(at, at + size);
    const broken = part.findIndex((line) => !probe.isWhole(line));
    if (broken === 0) {
      yield { index: at, refusal: NOT_WHOLE };
      at += 1;
      continue;
    }
    if (broken > 0) part = part.slice(0, broken);
    const refusal = await probe.refusalOf(part, signal);
    if (refusal === undefined) {
      at += part.length;
      size = Math.min(MOST, size * 2);
      continue;
    }
    size = LEAST;
    const found = await findFirst(part, refusal, probe, signal);
    const column = await probe.columnOf(part[found.index] ?? Buffer.alloc(0), found.refusal, signal);
    yield { index: at + found.index, refusal: { ...found.refusal, column } };
    at += found.index + 1;
  }
}

async function findFirst(
  lines: readonly Buffer[],
  refusal: Refusal,
  probe: Probe,
  signal: AbortSignal,
): Promise<RefusedLine> {
  const named = refusal.row === undefined ? undefined : lines[refusal.row];
  if (named !== undefined && refusal.row !== undefined) {
    const alone = lines.length === 1 ? refusal : await probe.refusalOf([named], signal);
    if (alone !== undefined) return { index: refusal.row, refusal: alone };
  }
  // The first `good` lines pass, the first `bad` ones are refused. What passed is not sent again.
  let good = 0;
  let bad = lines.length;
  let why = refusal;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    const found = await probe.refusalOf(lines.slice(good, middle), signal);
    if (found === undefined) good = middle;
    else {
      bad = middle;
      why = found;
    }
  }
  return { index: bad - 1, refusal: why };
}
