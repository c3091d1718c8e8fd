import { requireRegistry, SchemaRegistry } from '../connect/schema-registry.js';
import { kafkaOf, type Route } from '../domain/route.js';
import type { Settings } from '../settings/settings.js';

/**
 * A table in Avro whose registry is not there would be retried for ever, and not say so here. Other tables need none.
 * @throws Failure `Misconfigured` without one, and as `SchemaRegistry.probe`
 */
export async function requireRegistryFor({ registry }: Settings, routes: readonly Route[]): Promise<void> {
  if (routes.every((route) => kafkaOf(route)?.format !== 'avro')) return;
  await new SchemaRegistry(requireRegistry(registry)).probe();
}
