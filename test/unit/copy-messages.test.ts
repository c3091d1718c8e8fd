import { describe, expect, it } from 'vitest';
import { CopyMessages } from '../../src/source/copy/copy-messages.js';

function message(code: string, content: Buffer | string): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.from(`${code}....`);
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** A row whose length and bytes look like headers, one of nothing, and messages of each kind before, between and after them. */
const ROWS = ['1\ta\n', '', 'd\0\0\0\u0009dddd\n', `${'x'.repeat(300)}\n`, 'last\n'];
const MESSAGES = {
  open: message('H', Buffer.from([0, 0, 1, 0, 0])),
  notice: message('N', 'SNOTICE\0\0'),
  done: message('c', ''),
  complete: message('C', 'COPY 5\0'),
};
const SENT = [
  MESSAGES.open,
  ...ROWS.slice(0, 3).map((row) => message('d', row)),
  MESSAGES.notice,
  ...ROWS.slice(3).map((row) => message('d', row)),
  MESSAGES.done,
  MESSAGES.complete,
];

/** Everything in the order in which it was passed on: rows as `row`, the rest as `message`; neighbours of one kind are joined. */
function take(pieces: readonly Buffer[], endAfter?: Buffer): { passed: [string, string][]; rows: number } {
  const passed: [string, string][] = [];
  const pass = (kind: string, bytes: Buffer): void => {
    const last = passed.at(-1);
    if (last?.[0] === kind) last[1] += bytes.toString('latin1');
    else passed.push([kind, bytes.toString('latin1')]);
  };
  const messages = new CopyMessages({
    onRows: (rows) => pass('row', rows),
    onMessage: (piece) => {
      pass('message', piece);
      if (endAfter !== undefined && passed.at(-1)?.[1].endsWith(endAfter.toString('latin1')) === true) messages.end();
    },
  });
  // Copies: it writes into what it takes.
  for (const piece of pieces) messages.take(Buffer.from(piece));
  return { passed, rows: messages.rows };
}

const text = (...bytes: Buffer[]): string => Buffer.concat(bytes).toString('latin1');
const EXPECTED = [
  ['message', text(MESSAGES.open)],
  ['row', ROWS.slice(0, 3).join('')],
  ['message', text(MESSAGES.notice)],
  ['row', ROWS.slice(3).join('')],
  ['message', text(MESSAGES.done, MESSAGES.complete)],
];

describe('the messages of a COPY', () => {
  const bytes = Buffer.concat(SENT);

  it('are rows and the rest, in order, wherever the connection cut them', () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { passed, rows } = take([bytes.subarray(0, cut), bytes.subarray(cut)]);
      expect(passed).toEqual(EXPECTED);
      expect(rows).toBe(5);
    }
  });

  it('may come one byte at a time, or in pieces of any size', () => {
    for (let size = 1; size <= 40; size++) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      expect(take(pieces)).toEqual({ passed: EXPECTED, rows: 5 });
    }
  });

  it('keep what was passed on: a later row is not written over an earlier one', () => {
    const pieces: Buffer[] = [];
    const messages = new CopyMessages({ onRows: (rows) => pieces.push(rows), onMessage: () => undefined });
    messages.take(Buffer.from(bytes));
    expect(Buffer.concat(pieces).toString('latin1')).toBe(ROWS.join(''));
  });

  it('pass everything on as it is once the COPY is over, though it looks like rows', () => {
    const next = message('d', 'not ours');
    for (let cut = 0; cut <= next.length; cut++) {
      const { passed, rows } = take(
        [Buffer.concat([...SENT, next.subarray(0, cut)]), next.subarray(cut)],
        MESSAGES.complete,
      );
      expect(passed.at(-1)).toEqual(['message', text(MESSAGES.done, MESSAGES.complete, next)]);
      expect(rows).toBe(5);
    }
  });
});
