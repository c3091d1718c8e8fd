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
  readonly #chunks: Buffer[] = [];
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
    let held: Promise<void> | undefined;
    while (held === undefined && !this.#isOver && this.#bytes >= this.#needed)
      held = this.#pass(this.#join(this.#needed));
    if (this.#isOver && this.#bytes > 0) {
      const rest = this.#join(this.#bytes);
      this.#receiver.onMessage(rest);
      this.#drop(rest.length);
    }
    this.#held = held !== undefined;
    return held;
  }

  /** Passes on the messages that are complete in the first chunk. */
  #pass(chunk: Buffer): Promise<void> | undefined {
    let at = 0;
    let held: Promise<void> | undefined;
    this.#needed = HEADER_BYTES;
    while (held === undefined && !this.#isOver && chunk.length - at >= HEADER_BYTES) {
      const end = at + 1 + chunk.readInt32BE(at + 1);
      if (end > chunk.length) {
        this.#needed = end - at;
        break;
      }
      if (chunk[at] === COPY_DATA) held = this.#receiver.onData(chunk, at + HEADER_BYTES, end);
      else this.#receiver.onMessage(chunk.subarray(at, end));
      at = end;
    }
    this.#drop(at);
    return held;
  }

  /**
   * The first chunk, with so many bytes at least. A message that came in two of them is put together, and what follows stays in its
   * chunk: putting all of it together would copy everything that is read.
   */
  #join(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= bytes) return first;
    const joined = Buffer.allocUnsafe(bytes);
    let at = 0;
    while (at < bytes) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) throw new RangeError(`${bytes} bytes are not there`);
      const copied = chunk.copy(joined, at);
      at += copied;
      if (copied < chunk.length) this.#chunks.unshift(chunk.subarray(copied));
    }
    this.#chunks.unshift(joined);
    return joined;
  }

  /** Of the first chunk. */
  #drop(bytes: number): void {
    const [first] = this.#chunks;
    this.#bytes -= bytes;
    if (first === undefined || bytes === 0) return;
    if (bytes === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
  }
}
