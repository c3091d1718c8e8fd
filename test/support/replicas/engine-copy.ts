import { constants, copyFile, mkdir, open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/*
 * A replica writes into ZooKeeper where others fetch its parts, with which scheme and as whom. The engine of `chdb` has no code that sets
 * these three: a server's `main` does, and no configuration reaches them. Without, the replica stays read-only (code 139), or ends the
 * process at the first fetch. So the tests run a copy of the library whose three getters answer. They lie one behind the other.
 */

/** `Context::getInterserverIOAddress()`, up to where it refuses. */
const ADDRESS = Buffer.from('4156534883ec484c8b36490fbe8e670100004885c9498b96580100004889c8480f48c24885c07454', 'hex');
/** From there to `getInterserverCredentials()` before it, and to `getInterserverScheme()` behind it. */
const TO_CREDENTIALS = -128;
const TO_SCHEME = 256;
const PIECE_BYTES = 16 * 1024 * 1024;

/** `mov rax, rdi; ret`: all but the credentials return their object where the caller wants it. */
const RETURN = Buffer.from('4889f8c3', 'hex');

/**
 * Makes a copy of the engine's library, whose replicas fetch from each other on 127.0.0.1.
 * @returns the folder, for `LD_LIBRARY_PATH`
 * @throws Error where the package `chdb` has become another
 */
export async function copyEngine(directory: string, port: number): Promise<string> {
  await mkdir(directory);
  const library = join(directory, 'libchdb.so');
  const own = dirname(createRequire(import.meta.url).resolve('@chdb/lib-linux-x64-gnu/package.json'));
  await copyFile(join(own, 'libchdb.so'), library, constants.COPYFILE_FICLONE);
  const file = await open(library, 'r+');
  try {
    const piece = Buffer.alloc(PIECE_BYTES + ADDRESS.length);
    for (let at = 0; ; at += PIECE_BYTES) {
      const { bytesRead } = await file.read(piece, 0, piece.length, at);
      if (bytesRead === 0) throw new Error('The library of chdb has no getInterserverIOAddress() as of release 3.4.0.');
      const found = piece.subarray(0, bytesRead).indexOf(ADDRESS);
      if (found === -1) continue;
      const write = async (code: Buffer, offset: number) => file.write(code, 0, code.length, at + found + offset);
      await write(addressCode('127.0.0.1', port), 0);
      await write(Buffer.concat([stringCode('http'), RETURN]), TO_SCHEME);
      await write(credentialsCode(), TO_CREDENTIALS);
      return directory;
    }
  } finally {
    await file.close();
  }
}

/** Stores a short `std::string` at [rdi]: 23 bytes of text, and one of its length. */
function stringCode(text: string): Buffer {
  const value = Buffer.alloc(24);
  value.write(text);
  value[23] = text.length;
  return Buffer.concat(
    [0, 8, 16].flatMap((at) => [
      Buffer.from([0x48, 0xb8]), // mov rax, 8 bytes
      value.subarray(at, at + 8),
      Buffer.from([0x48, 0x89, 0x47, at]), // mov [rdi + at], rax
    ]),
  );
}

/** A pair of a string and a 16-bit port. */
function addressCode(host: string, port: number): Buffer {
  const number = Buffer.alloc(2);
  number.writeUInt16LE(port);
  return Buffer.concat([stringCode(host), Buffer.from('66c74718', 'hex'), number, RETURN]); // mov word [rdi + 24], port
}

/** A pointer that owns nothing, to zeros behind the code: an empty user and an empty password. */
function credentialsCode(): Buffer {
  const code = Buffer.alloc(-TO_CREDENTIALS);
  code.write('488d050900000031d2c3', 'hex'); // lea rax, [rip + 9]; xor edx, edx; ret
  return code;
}
