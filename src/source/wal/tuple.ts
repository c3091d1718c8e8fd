const FIRST_COLUMNS = 64;

/** `t`, `n` and `u` of the protocol. `UNCHANGED`: a value that is stored apart and that the UPDATE did not touch is not sent. */
export const TEXT = 0x74;
export const NULL = 0x6e;
export const UNCHANGED = 0x75;

/**
 * Where the values of one row are in a message. It is used again for the next row: a row costs no object. What it says holds until the
 * next message is read.
 */
export class Tuple {
  count = 0;
  /** Where it is in the message. */
  from = 0;
  to = 0;
  /** By column: `TEXT`, `NULL` or `UNCHANGED`. */
  kinds = new Uint8Array(FIRST_COLUMNS);
  /** By column: where its text is in the message. */
  starts = new Int32Array(FIRST_COLUMNS);
  ends = new Int32Array(FIRST_COLUMNS);

  /** @returns where the tuple ends. @throws RangeError for a message that is cut short or of a kind that is not sent as text */
  read(message: Buffer, from: number): number {
    const count = message.readUInt16BE(from);
    if (count > this.kinds.length) this.#grow(count);
    this.count = count;
    this.from = from;
    let at = from + 2;
    for (let column = 0; column < count; column++) {
      const kind = message[at] ?? 0;
      this.kinds[column] = kind;
      at += 1;
      if (kind === TEXT) {
        // A call would take as long as all the rest.
        const high = ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
        const length = (high << 16) | ((message[at + 2] ?? 0) << 8) | (message[at + 3] ?? 0);
        at += 4;
        this.starts[column] = at;
        at += length;
        this.ends[column] = at;
      } else if (kind !== NULL && kind !== UNCHANGED) throw new RangeError(`a value of kind ${kind} in a change`);
    }
    this.to = at;
    return at;
  }

  #grow(count: number): void {
    this.kinds = new Uint8Array(count);
    this.starts = new Int32Array(count);
    this.ends = new Int32Array(count);
  }
}
