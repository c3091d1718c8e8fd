import type { BatchName } from '../domain/batch.js';
import type { Checkpoint } from '../domain/receipt.js';
import type { RetryPolicy } from './retry.js';

/** What a writer made durable. */
export interface Written {
  /** Rows and tombstones. */
  readonly rows: number;
  /** As they were sent. */
  readonly bytes: number;
  /** Replaces the proof of the last `verify`. */
  readonly proof?: unknown;
}

/** What was confirmed, as a writer compares it with its end of the path. */
export interface Confirmed extends Checkpoint {
  /** The last position that the source has given to anything, decimal: no row has a higher one. Absent where the source does not know. */
  readonly allocated?: (() => Promise<string>) | undefined;
}

/** The state of a source, for displays and for the receipt. */
export interface SourceState {
  /** What this slice moved: `seq 12..40`; empty for nothing. */
  readonly moved: string;
  /** Events, messages or rows that wait, as far as is known. */
  readonly waiting: number;
  /** Age of the oldest that waits, seconds; 0 if nothing waits. */
  readonly lagSeconds: number;
  /** The last confirmed batch. */
  readonly checkpoint: Checkpoint;
  /** As in `SliceReceipt`. */
  readonly copyAgain?: boolean;
}

export interface ReadOptions {
  /** Aborted when the content is not wanted any more. */
  readonly signal: AbortSignal;
  /** Called when something shows that the source is alive: a place in a queue, a first byte. */
  readonly onProgress: (note?: string) => void;
}

/**
 * Where the batches of a stage come from. It owns the stage's row in the ledger: names are recorded and confirmed through it.
 *
 * The stage loop makes one call at a time. Names come in order, one at a time: the next one after the last one was confirmed. A
 * name is in the ledger before it is returned. A source may be left at any point: what is named and not confirmed is the
 * `pending` of the next attempt. Every call may throw a Failure, and throws `Fenced` once another attempt has claimed the stage.
 */
export interface BatchSource<Name extends BatchName, Content> extends AsyncDisposable {
  /** A batch that an earlier attempt named and did not confirm: it comes first. */
  readonly pending: Name | undefined;
  /** True when nothing will be named any more, as after a copy. A stream is never finished. */
  readonly isFinished: boolean;
  /** Checks what no batch announces, such as a changed table or a restored server. Called before the first batch, then every minute. */
  verify(): Promise<void>;
  /**
   * Waits a second or so for something to move, and names it.
   * @returns undefined where nothing came, or the signal was aborted
   */
  nameNext(options: ReadOptions): Promise<Name | undefined>;
  /** The content of a named batch. Called again for the same name if writing it failed. */
  read(name: Name, options: ReadOptions): Promise<Content> | Content;
  /** Confirms the batch, and names the next one in the same statement if that is wanted and something waits. */
  confirm(name: Name, written: Written, options: { readonly nameNext: boolean }): Promise<Name | undefined>;
  state(): SourceState;
  /** As in `Confirmed`. @throws Failure those of the source */
  allocated?(): Promise<string>;
}

export interface WriteOptions {
  readonly signal: AbortSignal;
  /** 1 for the first time that this content is written. Repeats may use longer time limits. */
  readonly attempt: number;
  /** An earlier write of the same name may have arrived, or may still arrive. */
  readonly again: boolean;
  /** Rows of the batch that were handed over so far. */
  readonly onProgress: (rows?: number) => void;
}

/** A writer that has to look into content that goes by only once asks for it again. */
export interface RereadOptions<Content> extends WriteOptions {
  /** The content of the same name; what was read before must have ended, or is destroyed. */
  readonly readAgain: () => Promise<Content>;
}

/**
 * Where batches go. When `write` returns, the content is durable. The call may be repeated for the same name, by this attempt or
 * by the next one, with the same content or with newer rows.
 */
export interface BatchWriter<Content> {
  readonly retry: RetryPolicy;
  /**
   * Compares what the ledger has confirmed with what this end of the path holds. Called before the first batch, every minute, and
   * before a batch is written again.
   * @param proof of the last batch that was confirmed
   * @returns the proof to keep with the next one
   * @throws Failure where what was confirmed is gone
   */
  verify(confirmed: Confirmed, proof: unknown): Promise<unknown>;
  write(name: BatchName, content: Content, options: RereadOptions<Content>): Promise<Written>;
  /** Pauses after a batch if small ones come too fast: the next one grows meanwhile. Ends early when the signal is aborted. */
  rest(written: Written, tookMs: number, signal: AbortSignal): Promise<void>;
}

/** The source, with its content turned into what a writer takes. */
export function mapContent<Name extends BatchName, From, To>(
  source: BatchSource<Name, From>,
  map: (content: From, name: Name) => To,
): BatchSource<Name, To> {
  return {
    get pending() {
      return source.pending;
    },
    get isFinished() {
      return source.isFinished;
    },
    verify: () => source.verify(),
    nameNext: (options) => source.nameNext(options),
    read: async (name, options) => map(await source.read(name, options), name),
    confirm: (name, written, options) => source.confirm(name, written, options),
    state: () => source.state(),
    ...(source.allocated === undefined ? {} : { allocated: source.allocated.bind(source) }),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
