import { describe, expect, it } from 'vitest';
import type { Route } from '../../src/domain/route.js';
import {
  addElsewhere,
  captureAgainRemedy,
  retryCommand,
  spellCommands,
  takenRemedy,
} from '../../src/failure/remedies.js';

const loader = { kind: 'worker', name: 'main', target: { database: 'd', table: 't' } };
const outbox: Route = {
  capture: { kind: 'outbox', triggerLevel: 'statement' },
  transport: { kind: 'kafka', topic: 'shop.orders', partitions: 3, format: 'packed', payload: 'row' },
  loaders: [loader],
};
const polled: Route = {
  capture: { kind: 'poll', appendOnly: true, cursor: 'id', intervalMs: 250 },
  transport: { kind: 'direct' },
  loaders: [{ ...loader, engine: 'merge-tree' }],
};
const name = { schema: 'public', table: 'Orders' };
const title = `'public."Orders"'`;
const table = { name, key: ['id'], target: loader.target };

describe('a table that may not be polled any more', () => {
  it('is captured by triggers, with its other options', () => {
    const route = { ...polled, loaders: [loader] };
    expect(captureAgainRemedy({ ...table, route }, { dropTarget: false })).toBe(
      `Run pg2click remove ${title}, then pg2click add ${title} --target d.t --key id --transport direct: it is copied again.`,
    );
  });

  it('leaves its plain MergeTree, which is for polls alone', () => {
    expect(captureAgainRemedy({ ...table, route: polled }, { dropTarget: false })).toBe(
      `Run pg2click remove ${title} --drop-target, then pg2click add ${title} --target d.t --key id --transport direct: it is copied again.`,
    );
  });
});

describe('the remedy of a name that is taken repeats how the table was added', () => {
  it.each([
    ['through a topic', outbox, `--target NAME --topic shop.orders --key id --transport kafka --format packed`],
    [
      'polled into a plain MergeTree',
      polled,
      `--target NAME --key id --capture poll --interval 250 --transport direct --engine merge-tree`,
    ],
  ])('%s', (_, route, options) => {
    expect(takenRemedy({ ...table, route }, 'target')).toBe(
      `Run pg2click remove ${title}, then add it with a name that is free: pg2click add ${title} ${options}`,
    );
  });

  it('with the topic as the name, its target is said', () => {
    expect(takenRemedy({ ...table, route: outbox, key: ['a', 'b'] }, 'topic')).toMatch(
      / --target d\.t --topic NAME --key a,b --transport kafka --format packed$/u,
    );
  });

  it('with what was chosen for the ClickHouse table', () => {
    const layout = { orderBy: 'b, a', partitionBy: `toYear(b, 'UTC')`, ttl: 'b + interval 1 year', constantTtl: true };
    const columns = [{ name: 'Id', position: 1, type: 'text', nullable: false, codec: 'ZSTD(3)' }];
    const route = { ...outbox, loaders: [{ ...loader, layout }] };
    expect(takenRemedy({ ...table, columns, route }, 'target')).toMatch(
      / --codec '"Id"=ZSTD\(3\)' --transport kafka --format packed --order-by 'b, a' --partition-by 'toYear\(b, '\\''UTC'\\''\)' --ttl 'b \+ interval 1 year' --constant-ttl$/u,
    );
  });

  it('with its row filter, in quotes of the shell, under the names of now', () => {
    const column = { type: 'text', nullable: true };
    const columns = [
      { ...column, name: 'id', position: 1 },
      { ...column, name: `Owner's`, position: 2 },
    ];
    const where = { sql: `("pg2click.column.2" = 'it''s'::text)`, columns: [2] };
    expect(takenRemedy({ ...table, route: outbox, columns, where }, 'topic')).toContain(
      String.raw` --key id --where '("Owner'\''s" = '\''it'\'''\''s'\''::text)' --transport`,
    );
    const [id] = columns;
    expect(takenRemedy({ ...table, route: outbox, columns: id === undefined ? [] : [id], where }, 'topic')).toContain(
      ' --where CONDITION ',
    );
  });

  it('and nothing that was not asked for, before it was added', () => {
    expect(addElsewhere(name, { target: 'other', capture: 'notify', channel: 'new data' }, 'target')).toBe(
      `pg2click add ${title} --target NAME --capture notify --channel 'new data'`,
    );
  });
});

describe('the remedy of a target that is taken, of a loader that', () => {
  const eu = { ...loader, name: 'eu', connection: 'eu' };
  it('is being added: nothing is to be removed', () => {
    const added = { ...table, route: outbox, loader: 'eu', connection: 'eu' };
    expect(takenRemedy(added, 'target')).toBe(
      `Choose a name that is free: pg2click loader add ${title} eu --target NAME --server eu`,
    );
    expect(retryCommand(added)).toBe(`pg2click loader add ${title} eu --target d.t --server eu`);
  });

  it('was added: it alone is removed', () => {
    const route = { ...outbox, loaders: [loader, eu] };
    expect(takenRemedy({ ...table, route, loader: 'eu', connection: 'eu' }, 'target')).toBe(
      `Run pg2click loader remove ${title} eu, then add it with a name that is free: pg2click loader add ${title} eu --target NAME --server eu`,
    );
    expect(retryCommand({ ...table, route, loader: 'eu' })).toBe(`pg2click resume ${title}`);
  });

  it('is that of a replay', () => {
    expect(takenRemedy({ ...table, route: outbox, loader: 'replay-1' }, 'target')).toBe(
      'Replay into another table: --into NAME',
    );
  });
});

it.each([
  ['It is gone: remove the table and add it again, which copies it.', 'It is gone: run COMMANDS, which copies it.'],
  ['Remove the table and add it again.', 'Run COMMANDS.'],
  ['Wait.', 'Wait.'],
])('the commands of the table stand where a remedy says %s', (remedy, spelled) => {
  const commands = `pg2click remove ${title}, then pg2click add ${title} --target d.t --topic shop.orders --key id --transport kafka --format packed`;
  expect(spellCommands(remedy, { ...table, route: outbox })).toBe(spelled.replace('COMMANDS', commands));
});
