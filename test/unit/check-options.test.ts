import { expect, it } from 'vitest';
import { requireSameOptions } from '../../src/control/check-options.js';

const TABLE = { pipeline: 'default', schema: 'shop', table: 'orders' };

it.each([
  [{ topic: 'debezium.orders' }, /To change its topic run pg2click remove shop\.orders, then add it again/u],
  [{}, /To change its topic run pg2click configure shop\.orders/u],
])('a topic is chosen once: %j', (has, remedy) => {
  expect(() => requireSameOptions(TABLE, { topic: 'other' }, has)).toThrow(
    expect.objectContaining({ remedy: expect.stringMatching(remedy) as string }) as Error,
  );
});
