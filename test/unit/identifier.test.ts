import { describe, expect, it } from 'vitest';
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
