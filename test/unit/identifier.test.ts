import { describe, expect, it } from 'vitest';
import { parseTableName, shellName } from '../../src/domain/table-name.js';
import { literal, quoteCh, quotePg } from '../../src/domain/identifier.js';

describe('a name in SQL', () => {
  it.each([
    ['orders', '"orders"', '`orders`'],
    ['My Orders', '"My Orders"', '`My Orders`'],
    ['a"b', '"a""b"', '`a"b`'],
    ['a`b', '"a`b"', '`a\\`b`'],
    ['a\\b', '"a\\b"', '`a\\\\b`'],
    ['a\\`b', '"a\\`b"', '`a\\\\\\`b`'],
    ['', '""', '``'],
  ])('%s is quoted for both servers', (name, pg, clickhouse) => {
    expect(quotePg(name)).toBe(pg);
    expect(quoteCh(name)).toBe(clickhouse);
  });
});

describe('a text in SQL', () => {
  it.each([
    ['plain', `'plain'`],
    [`it's`, `'it''s'`],
    ['back\\slash', ` E'back\\\\slash'`],
    [`\\'`, ` E'\\\\'''`],
    ['', `''`],
  ])('%s means itself, whatever standard_conforming_strings says', (text, sql) => {
    expect(literal(text)).toBe(sql);
  });
});

describe('the name of a table in a command', () => {
  it('is folded without quotes as PostgreSQL folds it: ASCII letters alone', () => {
    expect(parseTableName('Shop.ÄPFEL')).toEqual({ schema: 'shop', table: 'Äpfel' });
  });

  it.each([
    ['public', 'orders', 'public.orders'],
    ['shop', 'Orders', `'shop."Orders"'`],
    ['My Shop', 'a.b', `'"My Shop"."a.b"'`],
    ['public', `it's`, `'public.it'\\''s'`],
    ['public', 'a"b', `'public."a""b"'`],
    ['public', 'Äpfel', `'public.Äpfel'`],
  ])('%s and %s are found again by what a shell makes of it', (schema, table, argument) => {
    expect(shellName({ schema, table })).toBe(argument);
    const read = argument.startsWith("'") ? argument.slice(1, -1).replaceAll(String.raw`'\''`, "'") : argument;
    expect(parseTableName(read)).toEqual({ schema, table });
  });
});
