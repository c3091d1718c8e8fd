import type { TopicOffsets } from './replay.js';

/** Where the live flow must be: part of the position of the stage that waits for it. */
export interface FlowGoal {
  /** The newest position of the capture when the goal was set, decimal. */
  readonly captured?: string;
  /** The ends of the topic once all of that was in it. */
  readonly ends?: TopicOffsets;
}
