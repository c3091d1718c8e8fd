import { backlog } from './backlog.js';
import { firstLoad } from './first-load.js';
import { latency } from './latency.js';
import { memory } from './memory.js';
import type { Scenario } from './scenario.js';
import { triggerCost } from './trigger-cost.js';
import { ways } from './ways.js';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [backlog, latency, ways, firstLoad, triggerCost, memory];
