import { describe, expect, it } from 'vitest';
import { judge } from '../../src/source/wal/budget.js';

const MB = 1_000_000;
/** Ten thousand events have a megabyte, where they are not moved. */
const outboxes = (sizes: readonly number[], moved: boolean) =>
  sizes.map((each, id) => {
    const bytes = each * MB;
    return { id: String(id), bytes, events: moved ? 100 : each * 10_000, waitingBytes: moved ? 0 : bytes };
  });
const verdict = (
  wal: number,
  of: number[],
  { held, moved = false }: { held?: string | undefined; moved?: boolean | undefined },
) => judge({ walBytes: wal * MB, outboxes: outboxes(of, moved) }, 100 * MB, held);

describe('what takes the larger part of a budget decides who goes', () => {
  it.each([
    { what: 'nothing is wrong below it', wal: 40, of: [30], is: 'within' },
    { what: 'a warning comes before it', wal: 50, of: [30], is: 'near' },
    { what: 'the table with most events', wal: 20, of: [30, 60, 1], is: 'held by', id: '1' },
    { what: 'the table that holds up the reader', wal: 120, of: [0, 30, 0], held: '2', is: 'held by', id: '2' },
    { what: 'nobody, where no table holds up the reader', wal: 120, of: [0, 30], is: 'held by none' },
    { what: 'nobody, where that one is gone', wal: 120, of: [0, 30], held: '7', is: 'held by none' },
    { what: 'nobody, where all events were moved', wal: 20, of: [30, 60], moved: true, is: 'held by none' },
    { what: 'nobody, where there is no table', wal: 120, of: [], is: 'held by none' },
  ])('$what', ({ wal, of, held, moved, is, id }) => {
    expect(verdict(wal, of, { held, moved })).toMatchObject({ is, ...(id === undefined ? {} : { id }) });
  });
});
