import type { SearchAttributePair, SearchAttributeUpdatePair } from '@temporalio/common';
import { upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { TableAddress } from '../src/domain/receipt.js';
import { MEMO_NAMES, SEARCH_KEYS, type SearchAttributeName } from '../src/domain/search-attributes.js';
import { searchAttributesOf } from './display.js';
import { lackingOf, type TableState } from './table-state.js';

/** Every upsert is an event of the history: the lag, which always changes, is told at most this often. */
const LAG_INTERVAL_MS = 60_000;

/**
 * Keeps the search attributes of this run in step with its state: only what differs from what the server knows is sent, and nothing
 * that the namespace lacks. The server would refuse the whole workflow task for it, again and again.
 * @returns a function to call after every change of state
 */
export function searchAttributeWriter(address: TableAddress): (state: TableState) => void {
  let lagToldAt = Number.NEGATIVE_INFINITY;
  /** Those that come back are told again: with an attribute the server loses its values. */
  let lacked: readonly SearchAttributeName[] = [];
  return (state) => {
    const wanted = searchAttributesOf(state, address);
    const lacking = lackingOf(state);
    const known = workflowInfo().typedSearchAttributes;
    const pairs: SearchAttributeUpdatePair[] = [];
    for (const key of [SEARCH_KEYS.table, SEARCH_KEYS.pipeline, SEARCH_KEYS.phase, SEARCH_KEYS.failure]) {
      const value = wanted[key.name] as string | null;
      const before = lacked.includes(key.name) ? undefined : (known.get(key) ?? null);
      if (!lacking.includes(key.name) && before !== value) pairs.push({ key, value });
    }
    const lag = wanted.Pg2clickLagSeconds as number;
    const lagBefore = lacked.includes(SEARCH_KEYS.lag.name) ? undefined : known.get(SEARCH_KEYS.lag);
    const now = Date.now();
    const tellsLag = !lacking.includes(SEARCH_KEYS.lag.name) && now - lagToldAt >= LAG_INTERVAL_MS;
    if (lacking.includes(SEARCH_KEYS.lag.name)) lagToldAt = Number.NEGATIVE_INFINITY;
    if (tellsLag && lagBefore !== lag) {
      lagToldAt = now;
      pairs.push({ key: SEARCH_KEYS.lag, value: lag });
    }
    if (pairs.length > 0) upsertSearchAttributes(pairs);
    lacked = lacking;

    const memo = workflowInfo().memo ?? {};
    const notes = MEMO_NAMES.map((name) => [name, lacking.includes(name) ? wanted[name] : null] as const);
    const changed = notes.filter(([name, value]) => (memo[name] ?? null) !== value);
    if (changed.length > 0) upsertMemo(Object.fromEntries(changed));
  };
}

/** What the next run begins with. Without it that is all of this run, and the server would refuse to start it with one that is lost. */
export function keptAttributes(state: TableState): { readonly typedSearchAttributes?: SearchAttributePair[] } {
  const lacking: readonly string[] = lackingOf(state);
  if (lacking.length === 0) return {};
  const all = workflowInfo().typedSearchAttributes.getAll();
  return { typedSearchAttributes: all.filter(({ key }) => !lacking.includes(key.name)) };
}
