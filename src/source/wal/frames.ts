/** `d` of the protocol: CopyData. */
const COPY_DATA = 0x64;
/** A letter and a length of four bytes, which counts itself. */
const HEADER_BYTES = 5;

export interface FrameReceiver {
  /** The content of a CopyData message. A promise holds up what follows until it is settled. */
  readonly onData: (buffer: Buffer, start: number, end: number) => Promise<void> | undefined;
  /** Any other message, its header included. */
  readonly onMessage: (message: Buffer) => void;
}

/**
 * Parts what PostgreSQL sends into messages: each is whole, and is a place in the chunk that it came in, where it came in one. No
 * object or buffer is made for a message of data.
 */
export class Frames {
  readonly #receiver: FrameReceiver;
  /** What came and was not passed on: less than a message, or whatever waits behind a promise. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Below this many bytes no further message is complete. */
  #needed = HEADER_BYTES;
  #held = false;
  #isOver = false;

  constructor(receiver: FrameReceiver) {
    this.#receiver = receiver;
  }

  /** What follows goes to `onMessage` as it is. */
  end(): void {
    this.#isOver = true;
  }

  /** Whether what came waits behind a promise of the receiver: nothing more should be read. */
  get isHeld(): boolean {
    return this.#held;
  }

  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Passes on what is complete. @returns the promise of the receiver that holds up the rest; call again after it */
  drain(): Promise<void> | undefined {
    this.#held = false;
    if (this.#bytes < this.#needed && !this.#isOver) return undefined;
    const [first] = this.#chunks;
    if (first === undefined) return undefined;
    const buffer = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    let at = 0;
    let held: Promise<void> | undefined;
    this.#needed = HEADER_BYTES;
    while (held === undefined && !this.#isOver && buffer.length - at >= HEADER_BYTES) {
      const end = at + 1 + buffer.readInt32BE(at + 1);
      if (end > buffer.length) {
        this.#needed = end - at;
        break;
      }
      if (buffer[at] === COPY_DATA) held = this.#receiver.onData(buffer, at + HEADER_BYTES, end);
      else this.#receiver.onMessage(buffer.subarray(at, end));
      at = end;
    }
    if (this.#isOver && at < buffer.length) {
      this.#receiver.onMessage(buffer.subarray(at));
      at = buffer.length;
    }
    this.#chunks = at === buffer.length ? [] : [buffer.subarray(at)];
    this.#bytes = buffer.length - at;
    this.#held = held !== undefined;
    return held;
  }
}
