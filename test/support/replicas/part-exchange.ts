import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { hashFile } from './city-hash.js';

/** Where replicas fetch parts: what a server listens for on `interserver_http_port`, of all replicas of the test in one. */
export interface PartExchange {
  readonly port: number;
  /** Until `release`, nothing is fetched: who lacks a part stays behind. */
  hold(): void;
  release(): void;
  close(): Promise<void>;
}

/** @param folderOf the folder of a part, by the path of the replica in ZooKeeper; undefined where it has no such part */
export async function openPartExchange(
  folderOf: (replicaPath: string, part: string) => Promise<string | undefined>,
): Promise<PartExchange> {
  let held = false;
  const server = createServer((request, response) => {
    const asked = new URL(request.url ?? '/', 'http://replica').searchParams;
    const path = (asked.get('endpoint') ?? '').replace(/^DataPartsExchange:/u, '');
    const answer = async (): Promise<void> => {
      const folder = held ? undefined : await folderOf(path, asked.get('part') ?? '');
      if (folder === undefined) response.writeHead(404).end(held ? 'held by the test' : 'no such part');
      else response.end(await packPart(folder));
    };
    answer().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    hold: () => (held = true),
    release: () => (held = false),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A part as the first version of the protocol has it, which every release reads: files with name, length and hash. */
async function packPart(folder: string): Promise<Buffer> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  const pieces = [word(entries.length)];
  for (const { name } of entries) {
    const file = await readFile(join(folder, name));
    pieces.push(Buffer.from([name.length]), Buffer.from(name), word(file.length), file, hashFile(file));
  }
  return Buffer.concat(pieces);
}

function word(value: number): Buffer {
  const written = Buffer.alloc(8);
  written.writeBigUInt64LE(BigInt(value));
  return written;
}
