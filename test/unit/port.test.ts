import { expect, test } from 'vitest';
import { PORT_NAMES } from '../../dev/stack/server.js';
import { choosePorts } from '../../dev/stack/port.js';

test('ports are distinct, outside the range of outgoing connections, and stay what they were', async () => {
  const chosen = await choosePorts({}, {});
  expect(Object.keys(chosen)).toEqual([...PORT_NAMES]);
  expect(new Set(Object.values(chosen)).size).toBe(PORT_NAMES.length);
  for (const port of Object.values(chosen)) expect(port).toBeLessThan(32_768);
  expect(await choosePorts({}, chosen)).toEqual(chosen);
});

test('a port given wins over the one remembered', async () => {
  expect(await choosePorts({ kafka: 9092 }, { kafka: 20_000, temporal: 20_001 })).toMatchObject({
    kafka: 9092,
    temporal: 20_001,
  });
});
