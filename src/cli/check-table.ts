import { chooseTarget, chooseTopic } from '../../activities/choose-names.js';
import type { Databases } from '../connect/databases.js';
import { optionsOf, requireSameOptions } from '../control/check-options.js';
import type { PrepareRequest } from '../domain/receipt.js';
import { formatTableName, shellName } from '../domain/table-name.js';
import type { Queryable } from '../connect/queryable.js';
import { Failure } from '../failure/failure.js';
import { takenRemedy } from '../failure/remedies.js';
import { isMissingLedger } from '../ledger/query.js';
import { listTakenNames, readStanding } from '../ledger/registration.js';
import type { Settings } from '../settings/settings.js';
import { inspectTable, type TableInspection } from '../source/catalog/inspect.js';

export interface CheckedTable {
  readonly inspection: TableInspection;
  /** It was added before, and is prepared. */
  readonly prepared: boolean;
}

export interface CheckOptions {
  readonly settings: Settings;
  /** Whether its workflow runs: a name that is taken then has another way out. */
  readonly isAdded: () => Promise<boolean>;
}

/**
 * All that can be refused of a table before anything is started.
 * @throws Failure `UnsuitableTable` and its like; `TargetTaken` for a topic or target of another table
 */
export async function checkTable(
  { ledger, source }: Databases,
  request: PrepareRequest,
  { settings, isAdded }: CheckOptions,
): Promise<CheckedTable> {
  const { options, pipeline } = request;
  const inspection = await inspectTable(source, request, { key: options.key });
  try {
    const { table, ready } = await readStanding(ledger, pipeline, request);
    if (table !== undefined && ready) {
      const target = options.target === undefined ? undefined : nameOf(chooseTarget(request, settings, []));
      requireSameOptions(request, { ...options, target }, optionsOf(table));
      return { inspection, prepared: true };
    }
    await requireFreeNames(ledger, request, { settings, isAdded });
  } catch (error) {
    // The worker makes it.
    if (!isMissingLedger(error)) throw error;
  }
  return { inspection, prepared: false };
}

async function requireFreeNames(
  ledger: Queryable,
  request: PrepareRequest,
  { settings, isAdded }: CheckOptions,
): Promise<void> {
  const taken = await listTakenNames(ledger, request.pipeline, request);
  const topic = chooseTopic(request, settings, taken);
  const target = nameOf(chooseTarget(request, settings, taken));
  const refuse = async (owner: string, what: string, option: '--topic' | '--target'): Promise<never> => {
    const title = formatTableName(request);
    throw new Failure('TargetTaken', {
      message: `The ${what}, which ${title} would have, is that of ${owner}.`,
      remedy: (await isAdded())
        ? takenRemedy(request, option)
        : `Nothing was changed. Choose a name that is free: pg2click add ${shellName(request)} ${option} NAME`,
    });
  };
  for (const { owner, ...names } of taken) {
    if (names.topic === topic) await refuse(owner, `topic ${topic}`, '--topic');
    if (names.targets.some((each) => nameOf(each) === target))
      await refuse(owner, `ClickHouse table ${target}`, '--target');
  }
}

function nameOf({ database, table }: { readonly database: string; readonly table: string }): string {
  return `${database}.${table}`;
}
