import { describe, expect, it } from 'vitest';
import { parseStatement } from '../../dev/clickhouse-front/statement.js';

const parse = (sql: string) => parseStatement(Buffer.from(sql, 'utf8'));

describe('an insert is split where the file goes and where its data begins', () => {
  it.each([
    ['insert into t format JSONEachRow\n{"a":1}', 't', 'insert into t', 'JSONEachRow', '{"a":1}'],
    ['INSERT INTO d.t (a, `b c`) FORMAT CSV 1,2', 'd.t', 'INSERT INTO d.t (a, `b c`)', 'CSV', '1,2'],
    ['insert into table t format TSV\n\n1', 't', 'insert into table t', 'TSV', '\n1'],
    ['insert into format format format', 'format', 'insert into format', 'format', ''],
    ['insert into "values" values (1)', 'values', 'insert into "values"', 'Values', ' (1)'],
    ['insert into "a""b"."c`d" values (1)', 'a"b.c`d', 'insert into "a""b"."c`d"', 'Values', ' (1)'],
    ['insert into `Größe` format TSV\n', 'Größe', 'insert into `Größe`', 'TSV', ''],
    ['/* x */ insert -- y\n into t\nformat TSV\r\n1', 't', '/* x */ insert -- y\n into t', 'TSV', '1'],
    ['insert into {t:Identifier} format TSV\n1', undefined, 'insert into {t:Identifier}', 'TSV', '1'],
    ['insert into d.{t:Identifier} format TSV\n1', undefined, 'insert into d.{t:Identifier}', 'TSV', '1'],
    [
      "insert into function file('x', 'TSV') format TSV\n1",
      undefined,
      "insert into function file('x', 'TSV')",
      'TSV',
      '1',
    ],
    ["insert into t format TSV\n'; drop table t", 't', 'insert into t', 'TSV', "'; drop table t"],
  ])('%s', (sql, table, before, format, data) => {
    const statement = parse(sql);
    if (statement.kind !== 'data-insert') throw new Error(`it is a ${statement.kind}`);
    expect({
      ...statement,
      data: Buffer.from(sql, 'utf8').subarray(statement.dataStart).toString('utf8'),
    }).toMatchObject({
      table,
      before,
      format,
      data,
    });
  });

  it('keeps the settings between the file and the format', () => {
    expect(parse("insert into t (a) settings x = 'format TSV', y = 1 format CSV\n1")).toMatchObject({
      before: 'insert into t (a)',
      after: " settings x = 'format TSV', y = 1 ",
      format: 'CSV',
    });
  });

  it('finds input() in an insert from a select, and nothing where there is no input()', () => {
    expect(parse("insert into t select unhex(a) from input('a String') where 1 format TSV\n61")).toMatchObject({
      kind: 'input-insert',
      before: 'insert into t select unhex(a) from ',
      after: "'a String') where 1 ",
      format: 'TSV',
    });
    expect(parse('insert into t select 1;')).toMatchObject({
      kind: 'command',
      sql: 'insert into t select 1',
      table: 't',
    });
    expect(parse('with 1 as x insert into t select x')).toMatchObject({ kind: 'command', table: 't', effect: 'write' });
  });
});

describe('a query is split before its format', () => {
  it.each([
    ['select 1', 'select 1', undefined, ''],
    ['select 1 \nFORMAT JSON', 'select 1 \n', 'JSON', ''],
    ['select 1 format JSON settings a = 1;', 'select 1 ', 'JSON', ' settings a = 1'],
    ['select format from t', 'select format from t', undefined, ''],
    ["select 'format JSON'", "select 'format JSON'", undefined, ''],
    ['(select 1) union all (select 2 -- ;\n)', '(select 1) union all (select 2 -- ;\n)', undefined, ''],
    ["with 'é' as x select x format CSV", "with 'é' as x select x ", 'CSV', ''],
    ['select $a$ ; $a$;', 'select $a$ ; $a$', undefined, ''],
  ])('%s', (sql, body, format, tail) => {
    expect(parse(sql)).toEqual({ kind: 'output', body, format, tail });
  });
});

describe('what cannot be served is refused', () => {
  it.each([
    ['select 1; select 2', 'SYNTAX_ERROR'],
    ['insert into t select 1; drop table t', 'SYNTAX_ERROR'],
    ['', 'SYNTAX_ERROR'],
    ['-- nothing', 'SYNTAX_ERROR'],
    ["select 1 into outfile 'x'", 'UNSUPPORTED_METHOD'],
    ["insert into t from infile 'x' format TSV", 'UNSUPPORTED_METHOD'],
  ])('%s', (sql, type) => {
    expect(() => parse(sql)).toThrow(expect.objectContaining({ type }));
  });

  it('reads a literal of many megabytes', () => {
    expect(parse(`select '${"\\'".repeat(5_000_000)}'`).kind).toBe('output');
  });
});

it('knows what leaves something behind in the session', () => {
  const effects = [
    'set a = 1',
    'use d',
    'create temporary table t (a Int8)',
    'create or replace temporary table t (a Int8)',
    'create table t (a Int8)',
    'optimize table t',
  ];
  expect(effects.map((sql) => parse(sql)).map((statement) => 'effect' in statement && statement.effect)).toEqual([
    'session',
    'session',
    'session',
    'session',
    'write',
    'write',
  ]);
});
