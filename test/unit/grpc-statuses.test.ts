import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { explainTemporalConnect } from '../../src/connect/temporal.js';
import { GRPC_STATUSES } from '../../src/failure/grpc-statuses.js';
import type { Settings } from '../../src/settings/settings.js';

const settings = {
  temporal: { address: 'temporal.example:7233', namespace: 'default' },
  where: { TEMPORAL_ADDRESS: 'in .env' },
} as unknown as Settings;

const explained = (code: number) => explainTemporalConnect(Object.assign(new Error('rosebud'), { code }), settings);

test('every status that gRPC has is decided, and is called as gRPC calls it', () => {
  for (const [name, code] of Object.entries(status)) {
    if (typeof code !== 'number' || code === 0) continue;
    expect(GRPC_STATUSES[code]?.name).toBe(name);
    expect(explained(code)).toMatchObject({
      kind: GRPC_STATUSES[code]?.kind,
      message: expect.not.stringContaining('rosebud'),
    });
  }
});

test('a namespace over its rate limit is an outage that ends by itself, and says so', () => {
  expect(explained(8)).toMatchObject({
    kind: 'TemporalUnavailable',
    message: 'Temporal at temporal.example:7233 takes no more requests now (gRPC status 8 RESOURCE_EXHAUSTED).',
  });
});
