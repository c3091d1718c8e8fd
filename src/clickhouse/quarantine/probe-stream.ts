import type { Readable } from 'node:stream';
import { findRefused } from './find-refused.js';
import type { Probe, Refusal } from './probe.js';
import { LineSplitter } from './lines.js';

/** Rows that are probed together: as many as fit, one at least. */
const PART_BYTES = 4 * 1024 * 1024;
const PART_LINES = 16_384;

export interface ProbeStreamOptions {
  readonly probe: Probe;
  readonly signal: AbortSignal;
  /** Lines that are not probed. */
  readonly isHole: (line: Buffer) => boolean;
  /** Called for each line that ClickHouse refuses. What it throws ends the reading. */
  readonly onRefused: (line: Buffer, refusal: Refusal) => void;
  readonly onProgress: () => void;
}

/**
 * Reads COPY text to its end, and looks for lines that ClickHouse refuses. Only one part of it is in memory. No insert is open
 * meanwhile: to find many rows takes seconds, and a body that pauses for so long is cut off by servers and proxies.
 * @returns how many lines it had
 */
export async function probeStream(
  rows: Readable,
  { probe, signal, isHole, onRefused, onProgress }: ProbeStreamOptions,
): Promise<number> {
  const splitter = new LineSplitter();
  let count = 0;
  let part: Buffer[] = [];
  let bytes = 0;
  const probePart = async (): Promise<void> => {
    const lines = part;
    part = [];
    bytes = 0;
    for await (const { index, refusal } of findRefused(lines, probe, signal)) {
      onRefused(lines[index] ?? Buffer.alloc(0), refusal);
      onProgress();
    }
    onProgress();
  };
  try {
    for await (const chunk of rows as AsyncIterable<Buffer>) {
      for (const line of splitter.feed(chunk)) {
        count += 1;
        if (isHole(line)) continue;
        part.push(line);
        bytes += line.length + 1;
        if (bytes >= PART_BYTES || part.length >= PART_LINES) await probePart();
      }
    }
    await probePart();
  } finally {
    rows.destroy();
  }
  return count;
}
