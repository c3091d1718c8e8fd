import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { crc32c } from '../../src/kafka/protocol/crc32c.js';

const theirs = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C/index.js') as (
  bytes: Buffer,
) => number;

test.each([
  // RFC 3720, appendix B.4, and the check value of the polynomial.
  ['nothing', Buffer.alloc(0), 0],
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 steps', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
  ['the check text', Buffer.from('123456789'), 0xe3069283],
])('the checksum of %s is the published one', (_, bytes, checksum) => {
  expect(crc32c(bytes)).toBe(checksum);
});

test('the checksum is that of kafkajs, wherever the bytes begin and end', () => {
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 151 + (index >> 3)) % 256));
  for (let start = 0; start < 20; start++)
    for (let end = start; end <= 300; end += 1 + (end % 7))
      expect(crc32c(bytes, start, end)).toBe(theirs(bytes.subarray(start, end)));
});
