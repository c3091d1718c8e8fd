import { describe, expect, test } from 'vitest';
import { FetchMemory } from '../../src/kafka/client/fetch-memory.js';

describe('the memory of a fetcher', () => {
  test('gives a table as much as is free, and one with nothing queued something in any case', () => {
    const memory = new FetchMemory(100);
    memory.add(49);
    expect(memory.hasRoom(49)).toBe(true);
    memory.add(1);
    expect(memory.hasRoom(50)).toBe(false);
    expect(memory.hasRoom(10)).toBe(true);
    memory.add(200);
    expect(memory.hasRoom(10)).toBe(false);
    expect(memory.hasRoom(0)).toBe(true);
    expect(memory.responseBytes(false)).toBe(64_000);
  });
});
