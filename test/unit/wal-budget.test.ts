import { describe, expect, it } from 'vitest';
import { judge } from '../../src/source/wal/budget.js';

const MB = 1_000_000;
const outboxes = (...megabytes: number[]) => megabytes.map((each, id) => ({ id: String(id), bytes: each * MB }));
const verdict = (wal: number, of: number[], held?: string) =>
  judge({ walBytes: wal * MB, outboxes: outboxes(...of) }, 100 * MB, held);

describe('what takes the larger part of a budget decides who goes', () => {
  it.each([
    { what: 'nothing is wrong below it', wal: 40, of: [30], is: 'within' },
    { what: 'a warning comes before it', wal: 50, of: [30], is: 'near' },
    { what: 'the table with the largest outbox', wal: 20, of: [30, 60, 1], is: 'held by', id: '1' },
    { what: 'the table that holds up the reader', wal: 120, of: [0, 30, 0], held: '2', is: 'held by', id: '2' },
    { what: 'nobody, where no table holds up the reader', wal: 120, of: [0, 30], is: 'held by none' },
    { what: 'nobody, where that one is gone', wal: 120, of: [0, 30], held: '7', is: 'held by none' },
    { what: 'nobody, where there is no table', wal: 120, of: [], is: 'held by none' },
  ])('$what', ({ wal, of, held, is, id }) => {
    expect(verdict(wal, of, held)).toMatchObject({ is, ...(id === undefined ? {} : { id }) });
  });
});
