import type { TopicPosition } from '../../topic/topic-source.js';
import type { GroupOffsets } from '../../topic/group-offsets.js';

/** Where the engine stands, as of the last batch that was confirmed. The worker's loader can go on from it. */
export interface EnginePosition extends TopicPosition {
  /** Everything of the capture up to here was read, whether it became a row or not; decimal. */
  readonly read?: string;
  /** Rows in the table of errors. */
  readonly errors?: number;
  /** Offsets of an earlier moment, and the headers of the records before them: read again, they tell a topic that was made again. */
  readonly seen?: { readonly offsets: GroupOffsets; readonly headers: Readonly<Record<string, string>> };
}
