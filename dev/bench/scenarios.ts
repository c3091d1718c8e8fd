import { backlog } from './backlog.js';
import { copy } from './copy.js';
import { latency } from './latency.js';
import { memory } from './memory.js';
import type { Scenario } from './scenario.js';
import { triggerCost } from './trigger-cost.js';
import { wal } from './wal.js';
import { ways } from './ways.js';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [backlog, latency, ways, wal, copy, triggerCost, memory];
