import type { Deployment } from '../src/domain/deployment.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import type { Route } from '../src/domain/route.js';
import type { ChangeKind } from '../src/domain/route-change.js';
import { checkClaim, type DdlClaim } from '../src/ledger/registration.js';
import type { Steps } from '../src/pipeline/steps.js';
import type { SharingOptions } from '../src/source/capture.js';
import type { Deps } from './deps.js';

/** A change under way, under a claim of the table. */
export interface Change {
  readonly deps: Deps;
  readonly steps: Steps;
  readonly claim: DdlClaim;
  readonly deployment: Deployment;
  /** As the ledger has it. */
  readonly table: ReplicatedTable;
  readonly kind: ChangeKind;
  /** As it is to be. */
  readonly route: Route;
  readonly lockWaitMs: number | undefined;
}

/** Before it is known what the change is. */
export type Begun = Omit<Change, 'kind' | 'route'>;

export function ddlOptions({ deps, steps, claim, lockWaitMs }: Begun): SharingOptions {
  return {
    signal: steps.signal,
    onWait: (what) => steps.say(`waiting: ${what}`),
    giveUpMs: lockWaitMs,
    ledgerElsewhere: deps.settings.ledger !== undefined,
    fence: (transaction) => checkClaim(deps.ledgerWithin(transaction), claim),
    connectSlots: deps.connectSlots,
  };
}

/** A connection of its own, when its turn has come. */
export function connect({ deps, steps, table }: Begun) {
  return deps.connectSource(`change ${table.name.schema}.${table.name.table}`, {
    signal: steps.signal,
    onWait: (ahead) => steps.say(`waiting for its turn, ${ahead} ahead of it`),
  });
}
