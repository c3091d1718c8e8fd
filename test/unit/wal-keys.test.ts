import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Frames } from '../../src/source/wal/frames.js';
import { ChangeCollector, type KnownRelation } from '../../src/source/wal/change-collector.js';
import { KeyLines } from '../../src/source/wal/key-lines.js';
import { formatLsn, parseLsn } from '../../src/source/wal/lsn.js';
import type { PendingChanges } from '../../src/source/wal/pending-changes.js';
import { PgOutput, type Relation } from '../../src/source/wal/pgoutput.js';
import { placesOfKey } from '../../src/source/wal/relations.js';
import { NULL, TEXT, Tuple, UNCHANGED } from '../../src/source/wal/tuple.js';
import { Snapshot } from '../../src/source/wal/visible.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';

/**
 * What PostgreSQL 18.4 sent, a message a line: t (id, v, big), pair (b, a, v; key b, a), whole (id, v; identity full), gone (id).
 * Transactions: insert t; update t; update t set id = 2; delete t; insert two of pair and delete one; insert, update, delete whole, each
 * its own; insert gone, truncate gone and t, insert gone; a logical message.
 */
const RECORDED = readFileSync('test/fixtures/pgoutput.txt', 'utf8').trim().split('\n');
const FIRST_COMMITS = ['0/C7513B58', '0/C7513C20'] as const;
/** Numbers of the columns as the tables were made: all in the order of their names above. */
function known({ oid, identity, columns }: Relation): KnownRelation | undefined {
  const id = { 51615: 't', 51623: 'pair', 51632: 'whole', 51640: 'gone' }[oid];
  if (id === undefined) return undefined;
  const key = id === 'pair' ? [1, 2] : [1];
  const table = { id, key, identity: identity === 'f' ? null : key, made: '', membership: '' };
  return { id, columns: key.length, places: placesOfKey({ oid, identity, columns }, table, new Map([['id', 1]])) };
}

interface Taken {
  readonly lines: Readonly<Record<string, string>>;
  readonly commits: readonly string[];
  readonly xids: number;
}

async function take(messages: readonly string[], position = 0n): Promise<Taken> {
  const commits: string[] = [];
  const collector = new ChangeCollector({
    position,
    find: (relation) => Promise.resolve(known(relation)),
    handOvers: new HandOvers(),
    onCommit: (end) => commits.push(formatLsn(end)),
    onKeys: () => undefined,
  });
  const output = new PgOutput(collector);
  for (const message of messages) await output.take(Buffer.from(message, 'hex'), 0);
  const { tables, xids } = collector.take();
  const lines = Object.fromEntries([...tables].map(([id, { text }]) => [id, text.toString()]));
  return { lines, commits, xids: xids.size };
}

const ALL = {
  t: '\\N\t1\n\\N\t2\nt\t\\N\n',
  pair: '\\N\ttab\\there\\\\\t7\n\\N\t\t8\n',
  whole: '\\N\t1\n',
  gone: '\\N\t1\nt\t\\N\n\\N\t2\n',
};

describe('the keys of a recorded stream', () => {
  it('are those of every row that changed, old and new, escaped as COPY wants them', async () => {
    const { lines, commits, xids } = await take(RECORDED);
    expect(lines).toEqual(ALL);
    expect(commits).toHaveLength(10);
    // The transaction of a message alone has no keys.
    expect(xids).toBe(9);
  });

  it('are left out for transactions that committed before the position, and no other', async () => {
    const { commits } = await take(RECORDED, parseLsn(FIRST_COMMITS[1]));
    expect(commits).toHaveLength(9);
    expect((await take(RECORDED, parseLsn(FIRST_COMMITS[0]))).commits).toHaveLength(10);
  });

  it('say where a transaction ended only with its last part, also where that has no key', async () => {
    const taken: PendingChanges[] = [];
    const collector = new ChangeCollector({
      position: 0n,
      find: (relation) => Promise.resolve(known(relation)),
      handOvers: new HandOvers(),
      onCommit: () => undefined,
      onKeys: () => {
        taken.push(collector.take());
        return undefined;
      },
    });
    const output = new PgOutput(collector);
    // The first transaction has one key.
    for (const message of RECORDED.slice(0, 4)) await output.take(Buffer.from(message, 'hex'), 0);
    expect(taken.map(({ end, xids }) => [end, xids.size])).toEqual([[undefined, 1]]);
    expect(collector.isEmpty).toBe(false);
    const last = collector.take();
    expect([last.isEmpty, formatLsn(last.end ?? 0n)]).toEqual([true, '0/C7513B88']);
  });

  it.each([1, 7, 64, 100_000])('are the same in pieces of %i bytes', async (size) => {
    const framed = Buffer.concat(RECORDED.map(frame));
    const messages: string[] = [];
    const frames = new Frames({
      onData: (buffer, start, end) => void messages.push(buffer.toString('hex', start + 25, end)),
      onMessage: () => expect.unreachable(),
    });
    for (let at = 0; at < framed.length; at += size) {
      frames.take(framed.subarray(at, at + size));
      expect(frames.drain()).toBeUndefined();
    }
    expect(messages).toEqual(RECORDED);
    expect((await take(messages)).lines).toEqual(ALL);
  });

  it('wait behind a promise of who takes them, in their order', async () => {
    const seen: number[] = [];
    const frames = new Frames({
      onData: (buffer, start) => {
        seen.push(buffer[start] ?? 0);
        return seen.length === 2 ? Promise.resolve() : undefined;
      },
      onMessage: (message) => void seen.push(-(message[0] ?? 0)),
    });
    frames.take(Buffer.from([...data(1), ...data(2), ...data(3), 0x63, 0, 0, 0, 4]));
    await frames.drain();
    expect(seen).toEqual([1, 2]);
    expect(frames.drain()).toBeUndefined();
    expect(seen).toEqual([1, 2, 3, -0x63]);
  });

  it('of a message that is not of the protocol are none', async () => {
    await expect(take(['58'])).rejects.toThrow(RangeError);
    await expect(take(['5500003039580000'])).rejects.toThrow(/without its new row/u);
  });
});

/** CopyData of XLogData. */
function frame(message: string): Buffer {
  const content = Buffer.from(message, 'hex');
  const framed = Buffer.alloc(1 + 4 + 25 + content.length);
  framed.write('d', 0, 'latin1');
  framed.writeInt32BE(framed.length - 1, 1);
  framed.write('w', 5, 'latin1');
  content.copy(framed, 30);
  return framed;
}

function data(content: number): number[] {
  return [0x64, 0, 0, 0, 5, content];
}

describe('the place of the key', () => {
  const relation = (identity: string, ...columns: string[]): Relation => ({
    oid: 1,
    identity,
    columns: columns.map((name) => ({
      name: name.replace('*', ''),
      isIdentity: identity === 'f' || name.endsWith('*'),
      type: 23,
      modifier: -1,
    })),
  });
  const table = { id: '1', made: '', membership: '' };

  it.each([
    ['of columns in another order than the index', relation('d', 'x', 'b*', 'a*'), [2, 3], [3, 2], [2, 1]],
    ['of columns that have other names now', relation('d', 'new*', 'v'), [1], [1], [0]],
    ['where the key is a part of the identity', relation('i', 'a*', 'v', 'b*'), [4, 9], [9], [2]],
    ['is unknown where the identity has another size now', relation('d', 'a*', 'b*'), [1], [1], undefined],
    ['is unknown where it is FULL now', relation('f', 'a', 'v'), [1], [1], undefined],
    ['by name where all columns are marked', relation('f', 'v', 'a'), null, [7], [1]],
  ] as const)('%s', (_, found, identity, key, places) => {
    expect(placesOfKey(found, { ...table, identity, key }, new Map(identity === null ? [['a', 7]] : []))).toEqual(
      places,
    );
  });

  it('is unknown where all columns are marked, and none has its name', () => {
    expect(
      placesOfKey(relation('f', 'v'), { ...table, identity: null, key: [1] }, new Map([['a', 1]])),
    ).toBeUndefined();
  });

  it('is unknown where a column is marked that is another one now: an index was the identity for a while', () => {
    const numbers = new Map([
      ['id', 1],
      ['other', 2],
    ]);
    expect(placesOfKey(relation('i', 'id', 'other*'), { ...table, identity: [1], key: [1] }, numbers)).toBeUndefined();
    expect(placesOfKey(relation('d', 'id*', 'other'), { ...table, identity: [1], key: [1] }, numbers)).toEqual([0]);
  });
});

describe('lines of keys', () => {
  const message = Buffer.from('abc');
  const tuple = (...kinds: number[]): Tuple => {
    const made = new Tuple();
    made.count = kinds.length;
    kinds.forEach((kind, column) => {
      made.kinds[column] = kind;
      made.starts[column] = column;
      made.ends[column] = column + 1;
    });
    return made;
  };

  it('leave out a key that is that of the line before', () => {
    const lines = new KeyLines(1);
    for (const place of [0, 0, 1, 0]) lines.add(message, tuple(TEXT, TEXT), [place]);
    expect(lines.text.toString()).toBe('\\N\ta\n\\N\tb\n\\N\ta\n');
    expect(lines.rows).toBe(3);
  });

  it('take what an update left out from the old row', () => {
    const lines = new KeyLines(2);
    expect(lines.add(message, tuple(UNCHANGED, TEXT), [0, 1], tuple(TEXT, TEXT))).toBe(true);
    expect(lines.text.toString()).toBe('\\N\ta\tb\n');
  });

  it.each([
    ['left out', tuple(TEXT, UNCHANGED)],
    ['NULL', tuple(TEXT, NULL)],
    ['not there', tuple(TEXT)],
  ])('add nothing where a part of the key is %s', (_, incomplete) => {
    const lines = new KeyLines(2);
    expect(lines.add(message, incomplete, [0, 1])).toBe(false);
    expect(lines.rows).toBe(0);
    expect(lines.bytes).toBe(0);
  });

  it('grow with what they hold', () => {
    const lines = new KeyLines(1);
    const large = Buffer.alloc(100_000, '\t');
    const one = tuple(TEXT);
    one.ends[0] = large.length;
    lines.add(large, one, [0]);
    expect(lines.bytes).toBe(200_004);
  });
});

describe('a snapshot', () => {
  it.each([
    ['sees what ended before it', '10:20:', 12, true],
    ['does not see what runs', '10:20:12,15', 12, false],
    ['does not see what comes later', '10:20:', 20, false],
    ['sees an xid of the round before', '4294967290:4294967300:', 4_294_967_295, true],
    ['sees an xid of this round', '4294967290:4294967300:', 2, true],
    ['does not see one of this round that runs', '4294967290:4294967300:4294967298', 2, false],
  ] as const)('%s', (_, text, xid, sees) => expect(new Snapshot(text).sees(xid)).toBe(sees));
});

it('a position is printed as PostgreSQL does', () => {
  for (const text of ['0/0', '16/B374D848', 'FFFFFFFF/1']) expect(formatLsn(parseLsn(text))).toBe(text);
  expect(() => parseLsn('16-1')).toThrow(RangeError);
});
