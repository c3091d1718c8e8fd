import { onTestFinished } from 'vitest';
import { openDebezium as open, type Debezium } from '../../dev/stack/debezium.js';

export { type Debezium } from '../../dev/stack/debezium.js';

/** A Debezium of one test. */
export async function openDebezium(...options: Parameters<typeof open>): Promise<Debezium> {
  const debezium = await open(...options);
  onTestFinished(() => debezium.close());
  return debezium;
}
