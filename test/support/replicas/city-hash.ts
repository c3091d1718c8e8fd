/** Two words, the low one first. */
type Pair = readonly [bigint, bigint];

const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;
const K3 = 0xc949d7c7509e6557n;
const K_MIX = 0x9ddfea08eb382d69n;
/** A file is hashed piece by piece, each with the hash so far as its seed. */
const PIECE_BYTES = 2_048;

/** What ClickHouse puts behind each file of a part that goes from replica to replica: CityHash128 of release 1.0.2, low word first. */
export function hashFile(file: Buffer): Buffer {
  let state: Pair = [0n, 0n];
  for (let at = 0; at < file.length; at += PIECE_BYTES) state = hashPiece(file.subarray(at, at + PIECE_BYTES), state);
  const written = Buffer.alloc(16);
  written.writeBigUInt64LE(state[0], 0);
  written.writeBigUInt64LE(state[1], 8);
  return written;
}

const word = (value: bigint): bigint => BigInt.asUintN(64, value);
const shiftMix = (value: bigint): bigint => value ^ (value >> 47n);
const rotate = (value: bigint, by: bigint): bigint => (value >> by) | word(value << (64n - by));

function mix(u: bigint, v: bigint): bigint {
  const a = shiftMix(word((u ^ v) * K_MIX));
  return word(shiftMix(word((v ^ a) * K_MIX)) * K_MIX);
}

function hashPiece(s: Buffer, seed: Pair): Pair {
  return s.length < 128 ? hashShort(s, seed) : hashLong(s, seed);
}

function hashUpTo16(s: Buffer): bigint {
  const n = BigInt(s.length);
  if (n > 8n) {
    const last = s.readBigUInt64LE(s.length - 8);
    return mix(s.readBigUInt64LE(0), rotate(word(last + n), n)) ^ last;
  }
  if (n >= 4n) return mix(n + BigInt(s.readUInt32LE(0)) * 8n, BigInt(s.readUInt32LE(s.length - 4)));
  if (n === 0n) return K2;
  const y = BigInt((s[0] ?? 0) + (s[s.length >> 1] ?? 0) * 256);
  const z = n + BigInt((s[s.length - 1] ?? 0) * 4);
  return word(shiftMix(word(y * K2) ^ word(z * K3)) * K2);
}

function hashShort(s: Buffer, [low, high]: Pair): Pair {
  let [a, b, c, d] = [low, high, 0n, 0n];
  if (s.length <= 16) {
    a = word(shiftMix(word(a * K1)) * K1);
    c = word(b * K1 + hashUpTo16(s));
    d = shiftMix(word(a + (s.length >= 8 ? s.readBigUInt64LE(0) : c)));
  } else {
    c = mix(word(s.readBigUInt64LE(s.length - 8) + K1), a);
    d = mix(word(b + BigInt(s.length)), word(c + s.readBigUInt64LE(s.length - 16)));
    a = word(a + d);
    for (let at = 0; at < s.length - 16; at += 16) {
      a = word((a ^ word(shiftMix(word(s.readBigUInt64LE(at) * K1)) * K1)) * K1);
      b ^= a;
      c = word((c ^ word(shiftMix(word(s.readBigUInt64LE(at + 8) * K1)) * K1)) * K1);
      d ^= c;
    }
  }
  a = mix(a, c);
  b = mix(d, b);
  return [a ^ b, mix(b, a)];
}

function hash32(s: Buffer, at: number, first: bigint, second: bigint): Pair {
  const [w, x, y, z] = [0, 8, 16, 24].map((offset) => s.readBigUInt64LE(at + offset)) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  const a = word(first + w);
  const sum = word(a + x + y);
  const b = word(rotate(word(second + a + z), 21n) + rotate(sum, 44n));
  return [word(sum + z), word(b + a)];
}

function hashLong(s: Buffer, [low, high]: Pair): Pair {
  let [x, y, z] = [low, high, word(BigInt(s.length) * K1)];
  let v: Pair = [word(rotate(y ^ K1, 49n) * K1 + s.readBigUInt64LE(0)), 0n];
  v = [v[0], word(rotate(v[0], 42n) * K1 + s.readBigUInt64LE(8))];
  let w: Pair = [word(rotate(word(y + z), 35n) * K1 + x), word(rotate(word(x + s.readBigUInt64LE(88)), 53n) * K1)];
  const end = s.length - (s.length % 128);
  for (let at = 0; at < end; at += 64) {
    x = word(rotate(word(x + y + v[0] + s.readBigUInt64LE(at + 16)), 37n) * K1) ^ w[1];
    y = word(rotate(word(y + v[1] + s.readBigUInt64LE(at + 48)), 42n) * K1) ^ v[0];
    z = rotate(z ^ w[0], 33n);
    v = hash32(s, at, word(v[1] * K1), word(x + w[0]));
    w = hash32(s, at + 32, word(z + w[1]), y);
    [z, x] = [x, z];
  }
  y = word(y + rotate(w[0], 37n) * K0 + z);
  x = word(x + rotate(word(v[0] + z), 49n) * K0);
  for (let done = 32; done - 32 < s.length - end; done += 32) {
    y = word(rotate(word(y - x), 42n) * K0 + v[1]);
    w = [word(w[0] + s.readBigUInt64LE(s.length - done + 16)), w[1]];
    x = word(rotate(x, 49n) * K0 + w[0]);
    w = [word(w[0] + v[0]), w[1]];
    v = hash32(s, s.length - done, v[0], v[1]);
  }
  x = mix(x, v[0]);
  y = mix(y, w[0]);
  return [word(mix(word(x + v[1]), w[1]) + y), mix(word(x + w[1]), word(y + v[1]))];
}
