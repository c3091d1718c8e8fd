import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributeUpdatePair } from '@temporalio/common';
import { upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { TableAddress } from '../src/domain/receipt.js';
import { searchAttributesOf } from './display.js';
import type { TableState } from './table-state.js';

const TABLE = defineSearchAttributeKey('Pg2clickTable', SearchAttributeType.KEYWORD);
const PIPELINE = defineSearchAttributeKey('Pg2clickPipeline', SearchAttributeType.KEYWORD);
const PHASE = defineSearchAttributeKey('Pg2clickPhase', SearchAttributeType.KEYWORD);
const LAG = defineSearchAttributeKey('Pg2clickLagSeconds', SearchAttributeType.INT);
const FAILURE = defineSearchAttributeKey('Pg2clickFailure', SearchAttributeType.KEYWORD);

/** Every upsert is an event of the history: the lag, which always changes, is told at most this often. */
const LAG_INTERVAL_MS = 60_000;

/**
 * Keeps the search attributes of this run in step with its state: only what differs from what the server knows is sent.
 * @returns a function to call after every change of state
 */
export function searchAttributeWriter(address: TableAddress): (state: TableState) => void {
  let lagToldAt = Number.NEGATIVE_INFINITY;
  return (state) => {
    const wanted = searchAttributesOf(state, address);
    const known = workflowInfo().typedSearchAttributes;
    const pairs: SearchAttributeUpdatePair[] = [];
    for (const key of [TABLE, PIPELINE, PHASE, FAILURE]) {
      const value = wanted[key.name as keyof typeof wanted] as string | null;
      if ((known.get(key) ?? null) !== value) pairs.push({ key, value });
    }
    const lag = wanted.Pg2clickLagSeconds as number;
    const now = Date.now();
    if (known.get(LAG) !== lag && now - lagToldAt >= LAG_INTERVAL_MS) {
      lagToldAt = now;
      pairs.push({ key: LAG, value: lag });
    }
    if (pairs.length > 0) upsertSearchAttributes(pairs);
  };
}
