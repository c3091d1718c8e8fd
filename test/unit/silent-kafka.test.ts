import { createServer, type AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { probeKafka } from '../../src/connect/kafka.js';
import { loadSettings } from '../../src/settings/settings.js';

it('a broker that accepts the connection and says nothing is said not to have answered, and in time', async () => {
  const frozen = createServer(() => undefined);
  await new Promise<void>((resolve) => frozen.listen(0, '127.0.0.1', resolve));
  const { port } = frozen.address() as AddressInfo;
  const env = { KAFKA_BOOTSTRAP: `127.0.0.1:${port}` };
  try {
    await expect(probeKafka(loadSettings({ env, envFile: false, stackFile: false }))).rejects.toMatchObject({
      kind: 'BrokerUnavailable',
      message: `Kafka at 127.0.0.1:${port} did not answer within 8 s.`,
    });
  } finally {
    frozen.close();
  }
});
