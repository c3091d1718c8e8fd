import { describe, expect, test } from 'vitest';
import { topicNameFor } from '../../src/topic/topic-name.js';

describe('topicNameFor', () => {
  test('is pipeline, schema and table where Kafka accepts them', () => {
    expect(topicNameFor('default', { schema: 'public', table: 'order_items-2' })).toBe('default.public.order_items-2');
    expect(topicNameFor('default', { schema: 'Shop', table: 'Orders' })).toBe('default.Shop.Orders');
  });

  test('replaces what Kafka refuses, and adds a hash of the true name', () => {
    expect(topicNameFor('default', { schema: 'public', table: 'größe' })).toMatch(
      /^default\.public\.gr--e\.[0-9a-f]{10}$/u,
    );
    expect(topicNameFor('default', { schema: 'My Shop', table: 'a"b' })).toMatch(
      /^default\.My-Shop\.a-b\.[0-9a-f]{10}$/u,
    );
  });

  test('tells apart names that become alike', () => {
    const names = [
      topicNameFor('p', { schema: 's', table: 'a b' }),
      topicNameFor('p', { schema: 's', table: 'a-b' }),
      topicNameFor('p', { schema: 's', table: 'a.b' }),
      topicNameFor('p', { schema: 's.a', table: 'b' }),
      topicNameFor('p.s', { schema: 'a', table: 'b' }),
      topicNameFor('p', { schema: 's', table: 'a"b' }),
    ];
    expect(new Set(names).size).toBe(names.length);
  });

  test('is never longer than Kafka allows, and still its own', () => {
    const long = 'x'.repeat(200);
    const name = topicNameFor('p', { schema: long, table: `${long}1` });
    expect(name).toHaveLength(249);
    expect(name).not.toBe(topicNameFor('p', { schema: long, table: `${long}2` }));
    const longest = topicNameFor('p'.repeat(100), { schema: 'y'.repeat(63), table: 'z'.repeat(84) });
    expect(longest).toHaveLength(249);
    expect(longest).not.toContain('-');
  });
});
