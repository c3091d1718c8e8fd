import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** A kind of line in the logs of the workers. */
export interface LogKind {
  readonly level: string;
  readonly message: string;
  count: number;
  /** How many of them do not name what an operator looks for first. */
  readonly lacking: Record<'table' | 'stage' | 'worker', number>;
  /** One of them, whole. */
  readonly example: string;
}

/** Reads logs as they grow; they are renamed when they are long. */
export class LogLines {
  readonly #files: readonly string[];
  readonly #places = new Map<string, { inode: number; at: number; rest: string }>();
  readonly kinds = new Map<string, LogKind>();
  /** Lines that are no JSON: of a crash, or of a library. */
  readonly strange: string[] = [];

  constructor(files: readonly string[]) {
    this.#files = files;
  }

  read(): void {
    for (const file of this.#files) {
      const now = statSync(file, { throwIfNoEntry: false });
      if (now === undefined) continue;
      const place = this.#places.get(file) ?? { inode: now.ino, at: 0, rest: '' };
      if (place.inode !== now.ino) {
        this.#readFrom(`${file}.old`, place);
        Object.assign(place, { inode: now.ino, at: 0 });
      }
      this.#readFrom(file, place);
      this.#places.set(file, place);
    }
  }

  #readFrom(file: string, place: { at: number; rest: string }): void {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= place.at) return;
    const piece = Buffer.alloc(size - place.at);
    const descriptor = openSync(file, 'r');
    readSync(descriptor, piece, 0, piece.length, place.at);
    closeSync(descriptor);
    place.at = size;
    const lines = `${place.rest}${piece.toString('utf8')}`.split('\n');
    place.rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') this.#count(line);
  }

  #count(line: string): void {
    let fields: Record<string, unknown>;
    try {
      fields = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.strange.push(line);
      return;
    }
    const level = String(fields['level']);
    // Of one kind, whatever table and numbers they name.
    const message = String(fields['msg'])
      .replaceAll(/[\da-f]{8}(?:-[\da-f]+)+/gu, 'ID')
      .replaceAll(/\d+/gu, 'N');
    const id = `${level} ${message}`;
    const kind = this.kinds.get(id) ?? {
      level,
      message,
      count: 0,
      lacking: { table: 0, stage: 0, worker: 0 },
      example: line,
    };
    kind.count += 1;
    for (const field of ['table', 'stage', 'worker'] as const)
      if (fields[field] === undefined) kind.lacking[field] += 1;
    this.kinds.set(id, kind);
  }
}
