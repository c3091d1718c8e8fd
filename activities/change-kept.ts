import type { KeptReceipt, KeptRequest, RemoveReceipt } from '../src/domain/receipt.js';
import { keptBy, keptName, type KeptTable } from '../src/domain/kept-table.js';
import type { LoaderSpec } from '../src/domain/route.js';
import { dropByUuid } from '../src/clickhouse/shadow.js';
import { changeStages, claimPrepared, definitionOf } from '../src/ledger/change-route.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import type { Deps } from './deps.js';
import { requireOwnTable } from './require-own-table.js';

/** Drops tables that a resync has kept, or changes how long they are kept. Idempotent: those that are not known are passed by. */
export async function changeKept(deps: Deps, { names, until, ...address }: KeptRequest): Promise<KeptReceipt> {
  return runSlice(UNBOUNDED, async () => {
    const { table, claim } = await claimPrepared(deps.ledger, address);
    requireOwnTable(table, await deps.deployment());
    const loaders: LoaderSpec[] = [];
    for (const loader of table.route.loaders) {
      const { kept = [] } = loader;
      const isMeant = (each: KeptTable): boolean => names.includes(keptName(loader, each));
      if (until === undefined) for (const each of kept.filter(isMeant)) await drop(deps, loader, each);
      const left =
        until === undefined
          ? kept.filter((each) => !isMeant(each))
          : kept.map((each) => (isMeant(each) ? { ...each, until } : each));
      loaders.push(kept.length === 0 ? loader : { ...loader, kept: left });
    }
    const route = { ...table.route, loaders };
    await changeStages(deps.ledger, claim, table, { definition: { ...definitionOf(table), route } });
    return { kept: keptBy(route) };
  });
}

/**
 * What becomes of them when their loader goes, with its target or without. Those with a time go too, because nobody would drop them
 * later; those that are kept until somebody drops them stay.
 */
export async function leaveKept(deps: Deps, loader: LoaderSpec, dropTarget: boolean): Promise<RemoveReceipt> {
  const receipt: { dropped: string[]; kept: RemoveReceipt['kept'][number][] } = { dropped: [], kept: [] };
  for (const each of loader.kept ?? []) {
    const name = keptName(loader, each);
    const goes = dropTarget && each.until !== null;
    if (goes) await drop(deps, loader, each);
    if (goes) receipt.dropped.push(name);
    else receipt.kept.push({ name, why: 'a resync has kept it' });
  }
  return receipt;
}

async function drop(deps: Deps, loader: LoaderSpec, { table, uuid }: KeptTable): Promise<void> {
  await dropByUuid(deps.sink(loader).clickhouse, loader.target, uuid, table);
}
