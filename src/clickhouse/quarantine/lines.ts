import { Transform, type TransformCallback } from 'node:stream';

const NEWLINE = 0x0a;
const LINE_END = Buffer.from([NEWLINE]);

/** Cuts COPY text into lines. In it a newline within a value is escaped: each one ends a row. */
export class LineSplitter {
  /** The beginning of a line, in pieces. */
  #rest: Buffer[] = [];

  /** @returns the lines that end in the chunk, without their newlines: views of it, as a rule */
  *feed(chunk: Buffer): Generator<Buffer, void, undefined> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const tail = chunk.subarray(start, end);
      const line = this.#rest.length === 0 ? tail : Buffer.concat([...this.#rest, tail]);
      this.#rest = [];
      start = end + 1;
      yield line;
    }
    if (start < chunk.length) this.#rest.push(chunk.subarray(start));
  }

  /** What is left behind the last newline. */
  end(): Buffer {
    return Buffer.concat(this.#rest);
  }
}

/** COPY text without some of its lines. */
export class HoleFilter extends Transform {
  readonly #splitter = new LineSplitter();
  readonly #isHole: (line: Buffer) => boolean;

  constructor(isHole: (line: Buffer) => boolean) {
    super();
    this.#isHole = isHole;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const kept: Buffer[] = [];
    for (const line of this.#splitter.feed(chunk)) if (!this.#isHole(line)) kept.push(line, LINE_END);
    done(null, kept.length === 0 ? undefined : Buffer.concat(kept));
  }

  override _flush(done: TransformCallback): void {
    const rest = this.#splitter.end();
    done(null, rest.length === 0 ? undefined : rest);
  }
}
