import type { ClientBase } from 'pg';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { changeStages, definitionOf } from '../src/ledger/change-route.js';
import type { OutboxSharing } from '../src/source/capture.js';
import type { Fingerprint } from '../src/source/catalog/fingerprint.js';
import { connect, ddlOptions, type Begun, type Change } from './change.js';

/**
 * From a capture that fills the outbox to another one that does: the new one is made, the old one brings what came before, the route is
 * exchanged, the old one is taken away. In between both write the keys of each change.
 * @returns what the fingerprint of the table has of the new one
 */
export async function beginOverlap(change: Change): Promise<Partial<Fingerprint>> {
  const { deps, steps, table, claim, route } = change;
  const { kind } = route.capture;
  // Before anything of it is made: what ends the change, or the table, finds it.
  const spareCaptures = [...new Set([...(table.spareCaptures ?? []), kind])];
  await changeStages(deps.ledger, claim, table, { definition: definitionOf({ ...table, spareCaptures }) });
  const options = ddlOptions(change);
  steps.begin(`installing the ${kind} beside the ${table.route.capture.kind}`);
  await using pg = await connect(change);
  const begun = await sharingOf(change, kind).begin(deps, pg, { ...table, route }, options);
  steps.begin(`waiting until the ${table.route.capture.kind} has brought what came before`);
  await sharingOf(change, table.route.capture.kind).catchUp(deps, table, options);
  return begun;
}

/** Nothing runs. @throws Failure `SourceChanged` where one of the two may have missed a change */
export async function verifyOverlap(change: Change, start: unknown): Promise<void> {
  const { deps, table, route } = change;
  await sharingOf(change, table.route.capture.kind).verify(deps, table);
  const after = { ...table, route, fingerprint: fingerprintAfter(change, start) };
  await sharingOf(change, route.capture.kind).verify(deps, after);
}

/** What is not of the captures stays as it was noted, for the comparison of fingerprints to find. */
export function fingerprintAfter({ table }: Begun, start: unknown): string {
  const before = JSON.parse(table.fingerprint) as Fingerprint;
  return JSON.stringify({ ...before, ...(start as Partial<Fingerprint>) } satisfies Fingerprint);
}

export async function endOverlap(change: Begun, pg: ClientBase, kind: string): Promise<void> {
  change.steps.begin(`taking the ${kind} of the table away`);
  await sharingOf(change, kind).end(change.deps, pg, change.table, ddlOptions(change));
}

/** Whether a capture fills the outbox that the capture of the route fills. */
export function areSharing({ deps, table }: Begun, kind: string): boolean {
  return [kind, table.route.capture.kind].every((each) => deps.captures.named(each).sharing !== undefined);
}

function sharingOf(
  { deps }: { readonly deps: Begun['deps'] },
  kind: ReplicatedTable['route']['capture']['kind'],
): OutboxSharing {
  const { sharing } = deps.captures.named(kind);
  if (sharing === undefined) throw new Error(`the capture ${kind} fills no outbox`);
  return sharing;
}
