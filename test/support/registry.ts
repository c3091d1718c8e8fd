import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choosePorts } from '../../dev/stack/port.js';
import { startRegistry, type Registry } from '../../dev/stack/registry.js';

/** A schema registry of one test file, empty. */
export async function openRegistry(): Promise<Registry> {
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-registry-'));
  const { kafka: port } = await choosePorts({}, {});
  const signal = new AbortController().signal;
  const registry = await startRegistry({ port, logFile: join(directory, 'log'), signal });
  return {
    ...registry,
    async stop() {
      await registry.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
